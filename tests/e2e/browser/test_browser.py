"""What people see is what we scan: Chromium's drawing of each file beside our views of it."""

from __future__ import annotations

import pytest

from tests.e2e.browser.chromium import Drawn, Files
from tests.e2e.browser.judging import judge
from tests.e2e.browser.named import reason_for

# The first test waits for Chromium to draw the files of all.
pytestmark = pytest.mark.timeout(600)


def test_what_chromium_shows_is_what_we_scan(file: str, files: Files, drawings: dict[str, Drawn | None]) -> None:
    outcome = judge(files[file](), drawings[file])
    if not outcome.is_shown:
        pytest.skip("Chromium shows nothing of it, or pict-rs lets no picture of its size through")
    if outcome.fault is None:
        return
    if reason := reason_for(file):
        pytest.xfail(reason)
    pytest.fail(outcome.fault, pytrace=False)
