"""What every replica does with its process before anything else."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
from logging.handlers import MemoryHandler

from serve_app.log_writer import LogWriter

_SERVE_LOGGER = "ray.serve"
_OUR_LOGGERS = ("serve_app", "deployments")

# A request makes and drops some thousand objects, nearly none of them in a cycle. With Python's own thresholds the
# collector runs several times for each; with these, one picture in forty more goes through two cores.
_GC_THRESHOLDS = (20_000, 50, 100)

# mallopt(3), malloc.h.
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1024 * 1024


def set_up_replica() -> None:
    """Our log lines go where Serve's go, at its level, and never fail; the garbage collector runs rarely."""
    gc.set_threshold(*_GC_THRESHOLDS)
    # Python reports a line that failed on the standard error, of which Serve makes log lines: without an end.
    logging.raiseExceptions = False
    serve_logger = logging.getLogger(_SERVE_LOGGER)
    for handler in serve_logger.handlers:
        if isinstance(handler, MemoryHandler) and handler.target and not isinstance(handler.target, LogWriter):
            handler.setTarget(LogWriter(handler.target))
    for name in _OUR_LOGGERS:
        ours = logging.getLogger(name)
        ours.handlers = serve_logger.handlers
        ours.setLevel(serve_logger.level)
        ours.propagate = False


def return_large_memory() -> None:
    """Have glibc give memory of a megabyte and more back to the system as soon as it is freed.

    By default it learns from large bodies to keep such memory, in pieces that the next one does not fit into.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
