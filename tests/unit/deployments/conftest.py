"""What holds for every test of this folder: it is on a cluster that wants a token."""

import pytest


@pytest.fixture(autouse=True)
def _cluster_with_a_token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
