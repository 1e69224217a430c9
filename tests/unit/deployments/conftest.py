"""What holds for every test of this folder: its cluster wants a token, and a replica has the log of its process."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

_LOGGERS = (None, "ray.serve", "serve_app", "deployments")


@pytest.fixture(autouse=True)
def log_of_this_process() -> Iterator[None]:
    before = {name: dict(logging.getLogger(name).__dict__) for name in _LOGGERS}
    formatters = {handler: handler.formatter for handler in logging.getLogger().handlers}  # those of pytest
    thresholds, raise_exceptions = gc.get_threshold(), logging.raiseExceptions
    yield
    gc.set_threshold(*thresholds)
    logging.raiseExceptions = raise_exceptions
    for handler, formatter in formatters.items():
        handler.setFormatter(formatter)
    for name in _LOGGERS:
        logging.getLogger(name).__dict__.update(before[name])
        logging.getLogger(name).manager._clear_cache()  # type: ignore[attr-defined]  # private, and not in typeshed


@pytest.fixture(autouse=True)
def _cluster_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
