"""The messages of a start that fails: an admin reads them, and knows neither Ray nor Python."""

from __future__ import annotations

import traceback

import pytest

from deployments.local_ray import failure_message
from serve_app import domain


def told_by_serve(error: Exception) -> str:
    """A failed deployment in Serve's words: the traceback is Python's own."""
    try:
        raise error
    except Exception as raised:
        of_the_replica = "".join(traceback.format_exception(raised))
    head = "The deployment failed to start 3 times in a row. Error:\nray::ServeReplica:pictwarden:ClipScorer (pid=1)\n"
    return f"Failed to update the deployments ['ClipScorer'].\n{head}{of_the_replica}\n{head}{of_the_replica}"


@pytest.mark.parametrize("kind", [domain.ModelError, domain.SettingsError, domain.UnavailableError])
def test_our_own_error_is_told_without_its_traceback(kind: type[domain.PictwardenError]) -> None:
    message = "model X could not be downloaded: wanted Y\nfrom its hub. Set model.source to a folder"
    assert failure_message(told_by_serve(kind(message))) == message


@pytest.mark.parametrize("error", [RuntimeError("out of GPUs"), UnicodeError("out of GPUs")])
def test_of_any_other_error_its_last_line_is_told_without_a_name_of_python(error: Exception) -> None:
    assert failure_message(told_by_serve(error)) == "a replica did not start: out of GPUs"


@pytest.mark.parametrize("told", ["out of GPUs", "Deployment 'X' is waiting:\nno node has a GPU"])
def test_what_is_no_traceback_is_told_whole(told: str) -> None:
    assert failure_message(told) == told
