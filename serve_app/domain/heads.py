"""The labels of heads: linear classifiers over the embedding of a policy's model, which ``pictwarden train`` makes."""

from __future__ import annotations

import re
from typing import Final

from serve_app.domain.classifiers import output_of

HEAD_DIGEST_CHARS: Final = 12
"""So many characters of the digest of a head's file stand in its label, and at least so many in a policy."""

_LABEL = re.compile(rf"head/[a-z][a-z0-9_]{{0,63}}@([0-9a-f]{{{HEAD_DIGEST_CHARS}}})")


def head_label(name: str, digest: str) -> str:
    """The label under which a head is scored and recorded: another file is another label."""
    return f"head/{name}@{digest[:HEAD_DIGEST_CHARS].lower()}"


def head_digest(label: str) -> str | None:
    """With what the sha256 (hex) of the head's file starts; None for every other label."""
    known = _LABEL.fullmatch(label)
    return known[1] if known is not None else None


def is_prompt(label: str) -> bool:
    """Whether ``label`` is a text for the model, and neither a head nor a classifier's output."""
    return output_of(label) is None and head_digest(label) is None
