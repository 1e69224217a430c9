"""A list store, asked from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serve_app.domain import PictwardenError, UnavailableError, in_words
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

T = TypeVar("T")

# Not asyncio's own threads: the decode workers are replaced in those, and a database may hang.
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="lists")


async def in_thread(work: Callable[[], T]) -> T:
    """What ``work`` returns; it may wait for the store.

    Raises:
        UnavailableError: the store failed.
        PictwardenError: as ``work``.
        ValueError: as ``work``.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
    except (PictwardenError, ValueError):
        raise
    except Exception as error:
        why = in_words(error)
        logger.error("lists_unavailable", f"the lists cannot be read or written: {why}", why=why)
        raise UnavailableError("the lists cannot be read or written: see the log of the service") from error
