"""Chromium draws all files of the selected tests in one run."""

from __future__ import annotations

import pytest

from tests.e2e.browser.chromium import MISSING, Drawn, Files, draw_all, find_chromium
from tests.e2e.browser.generated import generated_files
from tests.e2e.browser.media import files_in, folders_of_environment

FILE = "file"
"""Name of the argument of a test that is run for each file."""


@pytest.fixture(scope="session")
def chromium() -> None:
    """Skips the test where Chromium is not installed."""
    if find_chromium() is None:
        pytest.skip(MISSING)


@pytest.fixture(scope="session")
def files() -> Files:
    """Name or path of each file: what makes or reads its bytes."""
    return {**generated_files(), **files_in(folders_of_environment())}


@pytest.fixture(scope="session")
def drawings(request: pytest.FixtureRequest, chromium: None, files: Files) -> dict[str, Drawn | None]:
    """What Chromium draws of each file that a selected test asks for."""
    calls = [
        item.callspec
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    wanted = {str(call.params[FILE]): None for call in calls if FILE in call.params}
    return draw_all({name: files[name] for name in wanted})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if FILE in metafunc.fixturenames:
        names = [*generated_files(), *files_in(folders_of_environment())]
        metafunc.parametrize(FILE, names)
