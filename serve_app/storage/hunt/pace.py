"""How fast a hunt reads the ledger: a command at once, the service with a rest after each part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Not asyncio's own threads: the decode workers are replaced in those, and a part takes seconds.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="hunt")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns, in the one thread of hunts."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: work(*args, **kwargs))


async def _no_rest(_: float) -> None:
    """For a command, whose admin waits."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``show`` is told how many bodies have been read; ``rest`` is given the seconds that the last part took."""

    show: Callable[[int], None] = lambda bodies: None
    rest: Callable[[float], Awaitable[object]] = _no_rest

    async def parts(
        self, read: Callable[[], Generator[T, None, None]], bodies_of: Callable[[T], int]
    ) -> AsyncGenerator[T, None]:
        """The parts of a scan, each read in the thread."""
        parts, bodies = await in_thread(read), 0
        began_s = time.perf_counter()
        try:
            while (part := await in_thread(next, parts, None)) is not None:
                yield part
                bodies += bodies_of(part)
                self.show(bodies)
                await self.rest(time.perf_counter() - began_s)
                began_s = time.perf_counter()
        finally:
            # In the same thread, which may still read a part.
            _THREAD.submit(parts.close)
