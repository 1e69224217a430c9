"""The set-up of every replica's process."""

from __future__ import annotations

import logging
from logging.handlers import MemoryHandler

from serve_app.host.process import set_up_process
from serve_app.logs.formats import formatter_for
from serve_app.logs.redaction import hide_secrets_of
from serve_app.logs.writer import LogWriter
from serve_app.settings import LogSettings
from serve_app.tracing import start_tracing

_SERVE_LOGGER = "ray.serve"
_OUR_LOGGERS = ("serve_app", "deployments")


def set_up_replica(component: str, log: LogSettings) -> None:
    """Send our log lines and those of libraries where Serve's go, all in one form, and never fail; trace if wanted.

    Args:
        component: what the replica is to logs and traces.
        log: as in the configuration.
    """
    # Python reports a failed line on the standard error, of which Serve makes log lines: an endless loop.
    set_up_process()
    hide_secrets_of()
    serve_logger = logging.getLogger(_SERVE_LOGGER)
    for handler in serve_logger.handlers:
        if not isinstance(handler, MemoryHandler):
            _set_format(handler, component, log)
        elif handler.target is not None and not isinstance(handler.target, LogWriter):
            _set_format(handler.target, component, log)
            handler.setTarget(LogWriter(handler.target))
    root = logging.getLogger()
    root.handlers = list(serve_logger.handlers)
    root.setLevel(logging.WARNING)
    for name in _OUR_LOGGERS:
        logging.getLogger(name).setLevel(log.level)
    start_tracing(component)


def _set_format(handler: logging.Handler, component: str, log: LogSettings) -> None:
    handler.setFormatter(formatter_for(log.format, handler.formatter or logging.Formatter(), component))
