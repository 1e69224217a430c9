"""The listener of the metrics: a port of its own, and never that of the scans."""

from __future__ import annotations

import contextlib

from serve_app.http.node_listener import Listener, node_listening
from serve_app.metrics import PageApp

ANSWER_WITHIN_S = 10.0
DRAIN_S = 1.0


def metrics_listening(app: PageApp, host: str, port: int) -> contextlib.AbstractAsyncContextManager[None]:
    """``app`` is served on ``host`` and ``port`` for as long as the block, from when these are free."""
    return node_listening(app, Listener("metrics", "metrics", host, port, ANSWER_WITHIN_S, DRAIN_S))
