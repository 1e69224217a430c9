"""Pictures for the workers of fedi-safety, which ask for one, look at it, and say whether it is abuse material.

Theirs is another protocol than that of :mod:`serve_app.remote.messages`: a worker says neither which model it has, nor
that it lives, and is told no deadline. A picture that is not answered for in time goes to another worker once. One that
asks and never answers gets no pictures for a while, and no upload waits for it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from serve_app.domain import Clock, Deadline, DeadlineExceededError, OverloadedError, UnavailableError

THERE_FOR_S: Final = 5.0
"""Seconds after its last question for which a worker counts as there: it asks ten times a second."""

AGAIN_AFTER_S: Final = 3.0
"""Seconds until a picture goes to another worker: within the deadline, and longer than a busy graphics card takes."""

REST_S: Final = 60.0
"""Seconds away for a worker that has answered nothing in :data:`AGAIN_AFTER_S` until it is tried again."""

_MOST_TIMES = 2

_MOST_JOBS = 100

# What its Pillow opens for certain: it never answers for a file that it cannot read.
_ENDINGS: Final = {
    "image/apng": "png",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
}


@dataclass(frozen=True, slots=True)
class PoppedAnswer:
    """All that a worker says of a picture; ``worker`` is its name."""

    is_csam: bool
    is_nsfw: bool
    worker: str


@dataclass(slots=True)
class Job:
    """A picture that waits for an answer. ``name`` says nothing of it but its type."""

    name: str
    content: bytes = field(repr=False)
    media_type: str
    due_s: float
    answer: asyncio.Future[PoppedAnswer]
    times: int = 0
    again_at_s: float = -math.inf


@dataclass(slots=True)
class _Worker:
    """One that has asked. ``owes_since_s`` is when it was handed the first picture since its last answer."""

    asked_s: float
    owes_since_s: float | None = None

    def is_resting(self, now_s: float) -> bool:
        """Whether it owes an answer for too long, and not yet for so long that it is tried again."""
        owes_s = 0.0 if self.owes_since_s is None else now_s - self.owes_since_s
        return AGAIN_AFTER_S <= owes_s < AGAIN_AFTER_S + REST_S


class PoppedJobs:
    """The pictures that wait, in memory alone; for one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """None waits, and nobody has asked."""
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, _Worker] = {}

    @property
    def is_anybody_there(self) -> bool:
        """Whether a worker has asked recently that answers too."""
        now_s = self._clock()
        workers = self._workers.values()
        return any(now_s - each.asked_s < THERE_FOR_S and not each.is_resting(now_s) for each in workers)

    def require_anybody(self) -> None:
        """Return if a worker is there.

        Raises:
            UnavailableError: none is.
        """
        if not self.is_anybody_there:
            raise UnavailableError("no worker of fedi-safety is there")

    async def submit(self, content: bytes, media_type: str, deadline: Deadline) -> PoppedAnswer:
        """What a worker says of a picture.

        Raises:
            UnavailableError: no worker is there, or they cannot open such a file.
            OverloadedError: too many wait.
            DeadlineExceededError: none has answered in time.
        """
        self.require_anybody()
        ending = _ENDINGS.get(media_type)
        if ending is None:
            raise UnavailableError(f"the workers of fedi-safety do not look at {media_type}")
        if len(self._jobs) >= _MOST_JOBS:
            raise OverloadedError(f"{len(self._jobs)} pictures wait for the workers of fedi-safety")
        remaining_s = deadline.require("scanning")
        answer: asyncio.Future[PoppedAnswer] = asyncio.get_running_loop().create_future()
        job = Job(f"{secrets.token_hex(16)}.{ending}", content, media_type, self._clock() + remaining_s, answer)
        self._jobs[job.name] = job
        try:
            async with asyncio.timeout(remaining_s):
                return await answer
        except TimeoutError:
            raise DeadlineExceededError("no worker of fedi-safety has answered in time") from None
        finally:
            del self._jobs[job.name]

    def pop(self, name: str) -> Job | None:
        """The next picture for the worker of this name; None if there is nothing to do, or it rests."""
        now_s = self._clock()
        worker = self._workers.setdefault(name, _Worker(now_s))
        worker.asked_s = now_s
        if worker.is_resting(now_s):
            return None
        ready = [
            job
            for job in self._jobs.values()
            if job.again_at_s <= now_s < job.due_s and job.times < _MOST_TIMES and not job.answer.done()
        ]
        job = min(ready, key=lambda each: (each.times, each.due_s), default=None)
        if job is not None:
            job.times += 1
            job.again_at_s = now_s + AGAIN_AFTER_S
            if worker.owes_since_s is None or now_s - worker.owes_since_s >= AGAIN_AFTER_S:
                worker.owes_since_s = now_s
        return job

    def answered(self, name: str, answer: PoppedAnswer) -> bool:
        """A worker says this of the picture ``name``; False if nobody waits for that, or it was never handed out."""
        job = self._jobs.get(name)
        worker = self._workers.get(answer.worker)
        if worker is not None and (job is None or job.times):
            # Also where nobody waits any more: it works, and may have been too late.
            worker.owes_since_s = None
        if job is None or job.times == 0 or job.answer.done():
            return False
        job.answer.set_result(answer)
        return True
