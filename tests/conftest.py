"""What holds for every test: no test fails because the machine is slow, and its folder gives it its marker."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("on-a-shared-machine", deadline=None)
settings.load_profile("on-a-shared-machine")

_TESTS = Path(__file__).parent
_MARKERS = {_TESTS / "serve": "serve", _TESTS / "e2e" / "browser": "browser"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for folder, marker in _MARKERS.items():
            if item.path.is_relative_to(folder):
                item.add_marker(marker)
