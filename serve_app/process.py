"""How a process that serves pictures uses its memory and writes its log, whatever else runs in it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging

# A request makes and drops some thousand objects, nearly none of them in a cycle. With Python's own thresholds the
# collector runs several times for each; with these, one picture in forty more goes through two cores.
_GC_THRESHOLDS = (20_000, 50, 100)

# mallopt(3), malloc.h.
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1024 * 1024


def set_up_process() -> None:
    """The garbage collector runs rarely, and a log line that fails is lost without a word on the standard error."""
    gc.set_threshold(*_GC_THRESHOLDS)
    logging.raiseExceptions = False


def return_large_memory() -> None:
    """Have glibc give memory of a megabyte and more back to the system as soon as it is freed.

    By default it learns from large bodies to keep such memory, in pieces that the next one does not fit into.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
