"""Lists whose changes in memory are few."""

import pytest

from serve_app.lists import following, live


@pytest.fixture
def small_deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_CHANGES", 10)
    monkeypatch.setattr(following, "MAX_CHANGES", 10)
