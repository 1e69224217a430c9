"""A policy's text to a :class:`~serve_app.policy.schema.Policy`, or to all of its errors at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import TypeAdapter, ValidationError

from serve_app.policy import consistency
from serve_app.policy.calibrated import of_policy_digest
from serve_app.policy.diagnostics import Report
from serve_app.policy.document import read_document
from serve_app.policy.mappings import Reading, diagnostics, mapping
from serve_app.policy.schema import Policy

_HINT = "it has the keys policy, model, concepts and rules"
_READER: TypeAdapter[Policy] = TypeAdapter(
    Annotated[
        Policy,
        mapping(Policy, "a policy", _HINT, across=consistency.of_policy, needs=consistency.needs_of_policy),
    ]
)


def parse_policy(text: str, file_name: str) -> Policy:
    """The policy that ``text`` holds.

    Args:
        text: of the file.
        file_name: is shown, and the files of heads are named from its folder; none is opened here.

    Raises:
        PolicyError: the text is not a policy. The message shows every error, with its line and column.
    """
    report = Report(file_name, text.removeprefix("\ufeff"))
    document = read_document(report)
    try:
        policy = _READER.validate_python(document, context=Reading(report, Path(file_name).absolute().parent))
    except ValidationError as error:
        report.diagnostics += diagnostics(error)
        raise report.failure() from None
    report.diagnostics += of_policy_digest(document, policy.digest)
    if report.diagnostics:
        raise report.failure()
    return policy
