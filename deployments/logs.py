"""The application's log lines go where Ray Serve's own go."""

from __future__ import annotations

import logging

_SERVE_LOGGER = "ray.serve"
_OUR_LOGGERS = ("serve_app", "deployments")


def log_like_serve() -> None:
    """Give our loggers the handlers and the level that Serve has set up for this replica."""
    serve_logger = logging.getLogger(_SERVE_LOGGER)
    for name in _OUR_LOGGERS:
        ours = logging.getLogger(name)
        ours.handlers = serve_logger.handlers
        ours.setLevel(serve_logger.level)
        ours.propagate = False
