"""The listener of the admin API on a node: one of the node's processes has it, and another takes over if that one ends.

Every process has the same API over the same database, so that it does not matter which one answers.
"""

from __future__ import annotations

import contextlib

from fastapi import FastAPI

from serve_app.http.node_listener import Listener, node_listening

ANSWER_WITHIN_S = 300.0
"""For the longest request: the import of a list."""

DRAIN_S = 5.0
"""At the end: a process that waited for a slow reader of an export would be ended before its ledger is closed."""


def admin_listening(app: FastAPI, host: str, port: int) -> contextlib.AbstractAsyncContextManager[None]:
    """``app`` is served on ``host`` and ``port`` for as long as the block, from when these are free."""
    return node_listening(app, Listener("admin", "the admin API", host, port, ANSWER_WITHIN_S, DRAIN_S))
