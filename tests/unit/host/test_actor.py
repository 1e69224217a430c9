"""Who runs a command: also a user without a name."""

from __future__ import annotations

import os

import pytest

from serve_app.host.actor import actor_name

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")
NAMELESS = 987_654_321


@pytest.fixture(autouse=True)
def _no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in NAMES:
        monkeypatch.delenv(each, raising=False)


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: NAMELESS)
    assert actor_name() == f"uid {NAMELESS}"


def test_a_user_has_the_name_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    assert actor_name() == "alice"
