"""Pictures for the workers of fedi-safety, which ask for one, look at it, and say whether it is abuse material.

Theirs is another protocol than that of :mod:`serve_app.remote.messages`: a worker says neither which model it has, nor
that it lives, and is told no deadline. A picture that is not answered for in time goes to another worker once.
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


class PoppedJobs:
    """The pictures that wait, in memory alone; for one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """None waits, and nobody has asked."""
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._asked_s = -math.inf

    @property
    def is_anybody_there(self) -> bool:
        """Whether a worker has asked lately."""
        return self._clock() - self._asked_s < THERE_FOR_S

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

    def pop(self) -> Job | None:
        """The next picture for a worker; None if there is nothing to do."""
        now_s = self._asked_s = self._clock()
        ready = [
            job
            for job in self._jobs.values()
            if job.again_at_s <= now_s < job.due_s and job.times < _MOST_TIMES and not job.answer.done()
        ]
        job = min(ready, key=lambda each: (each.times, each.due_s), default=None)
        if job is not None:
            job.times += 1
            job.again_at_s = now_s + AGAIN_AFTER_S
        return job

    def answered(self, name: str, answer: PoppedAnswer) -> bool:
        """A worker says this of the picture ``name``; False if nobody waits for that, or it was never handed out."""
        job = self._jobs.get(name)
        if job is None or job.times == 0 or job.answer.done():
            return False
        job.answer.set_result(answer)
        return True
