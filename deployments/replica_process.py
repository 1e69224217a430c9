"""The set-up of every replica's process."""

from __future__ import annotations

import logging
from logging.handlers import MemoryHandler

from serve_app.log_writer import LogWriter
from serve_app.process import set_up_process

_SERVE_LOGGER = "ray.serve"
_OUR_LOGGERS = ("serve_app", "deployments")


def set_up_replica() -> None:
    """Send our log lines where Serve's go, at its level, and never fail."""
    # Python reports a failed line on the standard error, of which Serve makes log lines: an endless loop.
    set_up_process()
    serve_logger = logging.getLogger(_SERVE_LOGGER)
    for handler in serve_logger.handlers:
        if isinstance(handler, MemoryHandler) and handler.target and not isinstance(handler.target, LogWriter):
            handler.setTarget(LogWriter(handler.target))
    for name in _OUR_LOGGERS:
        ours = logging.getLogger(name)
        ours.handlers = serve_logger.handlers
        ours.setLevel(serve_logger.level)
        ours.propagate = False
