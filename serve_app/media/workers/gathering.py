"""Small bodies of the background lane, of which a worker is asked for several in one message.

A message, its answer and all that wakes up for them take as long as to decode a picture of a kilobyte. The bodies are
chosen in the moment in which a worker is free: none waits for others to come. A live body is asked for alone, since it
would have to wait for its neighbours to be decoded.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from serve_app.domain import Call, Lane, UnscannedError, Views
from serve_app.media.workers.pool import WorkerPool
from serve_app.media.workers.worker_process import AskedBody, WorkerProcess
from serve_app.stages import Stage, tell_stage

MOST_TOGETHER: Final = 8
"""Bodies of one message."""

SMALL_BYTES: Final = 64 * 1024
"""The longest of them."""


@dataclass(eq=False, slots=True)
class Gathered:
    """A body that waits, and its outcome: None if it has to be decoded alone."""

    body: AskedBody
    outcome: asyncio.Future[Views | UnscannedError | None]
    came_s: float = field(default_factory=time.monotonic)


class Gathering:
    """The bodies that wait, by source: a message has those of one. For one event loop."""

    def __init__(
        self,
        workers: int,
        pool: WorkerPool,
        decode: Callable[[WorkerProcess, Sequence[Gathered]], Awaitable[int]],
    ) -> None:
        """Over the workers of a pool.

        Args:
            workers: how many there are.
            pool: of them.
            decode: asks one for bodies, gives it back, and returns how many of these it has answered for, the first
                ones.
        """
        self._workers = workers
        self._pool = pool
        self._decode = decode
        self._waiting: dict[str, deque[Gathered]] = {}
        self._taking: Counter[str] = Counter()
        self._decoding = 0

    def __len__(self) -> int:
        return sum(not each.outcome.done() for waiting in self._waiting.values() for each in waiting)

    async def outcome(self, body: AskedBody) -> Views | UnscannedError | None:
        """What became of a body of the background lane: None if it has to be decoded alone.

        Raises:
            UnavailableError: decoding has ended.
        """
        source = body.call.source
        gathered = Gathered(body, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(source, deque()).append(gathered)
        if self._taking[source] < self._workers:
            self._taking[source] += 1
            self._pool.run(self._serve(source))
        return await gathered.outcome

    async def _serve(self, source: str) -> None:
        """Have one worker after another decode what waits of ``source``, until nothing does."""
        some: Sequence[Gathered] = ()
        try:
            while (first := self._first(source)) is not None:
                some = (first,)
                worker = await self._pool.take(first.body.call)
                some = self._next(source)
                if not some:
                    self._pool.give_back(worker, True)
                    continue
                taken_s = time.monotonic()
                for each in some:
                    tell_stage(Stage.DECODE_WAIT, each.body.call, each.came_s, taken_s)
                self._decoding += 1
                try:
                    answered = await self._decode(worker, some)
                finally:
                    self._decoding -= 1
                self._waiting.setdefault(source, deque()).extendleft(reversed(some[answered:]))
        except Exception as error:
            # Its callers wait for nobody else.
            for each in (*some, *self._waiting.pop(source, ())):
                if not each.outcome.done():
                    each.outcome.set_exception(error)
        finally:
            self._taking[source] -= 1
            if not self._taking[source]:
                del self._taking[source]

    def _first(self, source: str) -> Gathered | None:
        """The next that waits, whose caller is still there."""
        waiting = self._waiting.get(source, deque())
        while waiting:
            if not waiting[0].outcome.done():
                return waiting[0]
            waiting.popleft()
        self._waiting.pop(source, None)
        return None

    def _next(self, source: str) -> list[Gathered]:
        """Those for a worker that is free: its part of all that wait, where other workers may be free as well."""
        waiting = self._waiting.get(source, deque())
        left = min(MOST_TOGETHER, math.ceil(len(waiting) / max(1, self._workers - self._decoding)))
        some: list[Gathered] = []
        while len(some) < left and self._first(source) is not None:
            some.append(waiting.popleft())
        return some


def is_gathered(content: bytes, call: Call) -> bool:
    """Whether a body is small, and nobody waits for it."""
    return call.lane is Lane.BACKGROUND and len(content) <= SMALL_BYTES
