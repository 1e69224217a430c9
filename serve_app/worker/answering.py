"""What one front sends a worker to be scored: taken, scored, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES, Call, Clock, Deadline, UnscannedError, UnscannedReason
from serve_app.domain.storable_text import printable
from serve_app.logs import EventLogger
from serve_app.remote.messages import BodyWork, Examined, Failed, Scored, Work
from serve_app.worker.ports import OpenedScorers

logger = EventLogger(__name__)

MAX_WORKS: Final = 1024
MAX_WORKS_BYTES: Final = 512 * 1024 * 1024
"""In flight at once, beyond one work; a front that sends more is answered that there is no room."""

# Of what a front is told for people.
_TOLD_CHARACTERS = 500

Answer = Scored | Examined | Failed


@dataclass(frozen=True, slots=True)
class _Taken:
    """A work that is not answered yet."""

    size_bytes: int
    task: asyncio.Task[None]


class Answering:
    """Scores what a front sends, several at once, and answers for each."""

    def __init__(
        self,
        scorers: OpenedScorers,
        deadline_s: float,
        send: Callable[[Answer], Awaitable[None]],
        begin: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        clock: Clock,
    ) -> None:
        """Without any work.

        Args:
            scorers: that the front has accepted.
            deadline_s: of a picture; no work gets more.
            send: an answer.
            begin: a task, by its name.
            clock: in seconds.
        """
        self._scorers, self._deadline_s, self._send, self._begin, self._clock = scorers, deadline_s, send, begin, clock
        self._in_flight: dict[int, _Taken] = {}
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._is_leaving = False

    def __len__(self) -> int:
        return len(self._in_flight)

    def has(self, number: int) -> bool:
        """Whether a work of this number is in flight."""
        return number in self._in_flight

    async def take(self, work: Work | BodyWork, size_bytes: int, arrived_s: float) -> None:
        """Begin to score ``work``, a frame of ``size_bytes``; or answer at once that it cannot be."""
        if self._is_leaving:
            await self._fail(work, UnscannedReason.UNAVAILABLE, "the worker is leaving", arrived_s)
            return
        held_bytes = sum(each.size_bytes for each in self._in_flight.values())
        if len(self._in_flight) >= MAX_WORKS or (held_bytes and held_bytes + size_bytes > MAX_WORKS_BYTES):
            await self._fail(work, UnscannedReason.OVERLOADED, "the worker has too many pictures already", arrived_s)
            return
        self._all_answered.clear()
        task = self._begin(self._answer(work, arrived_s), "scoring")
        self._in_flight[work.number] = _Taken(size_bytes, task)
        task.add_done_callback(lambda _: self._note_answered(work.number))

    def cancel(self, number: int) -> None:
        """Nobody waits for a work any more, or it was never there."""
        if cancelled := self._in_flight.get(number):
            cancelled.task.cancel()

    def take_no_more(self) -> None:
        """Each further one is answered that the worker is leaving."""
        self._is_leaving = True

    async def wait_until_all_are_answered(self) -> None:
        """Returns at once where there are none."""
        await self._all_answered.wait()

    def _note_answered(self, number: int) -> None:
        del self._in_flight[number]
        if not self._in_flight:
            self._all_answered.set()

    async def _answer(self, work: Work | BodyWork, arrived_s: float) -> None:
        deadline = Deadline(arrived_s + min(work.remaining_s, self._deadline_s), self._clock)
        try:
            call = Call(str(work.number), deadline, work.lane)
            if isinstance(work, BodyWork):
                answer: Scored | Examined = await self._examined(work, call, arrived_s)
            else:
                scores = await self._scorers.score(work, call)
                answer = Scored(work.number, scores.values, scores.logit_scale, self._clock() - arrived_s)
        except UnscannedError as error:
            await self._fail(work, error.reason, str(error), arrived_s)
        except Exception:
            logger.exception("work_failed", "scoring failed by a fault of the worker; its front hands the picture on")
            await self._fail(work, UnscannedReason.UNAVAILABLE, "scoring failed in the worker", arrived_s)
        else:
            await self._send(answer)

    async def _examined(self, work: BodyWork, call: Call, arrived_s: float) -> Examined:
        views = await self._scorers.decode(work, call)
        decoded_s = self._clock() - arrived_s
        of_views = Work(work.number, work.label_set, 0.0, work.lane, views.pixels, views.faces.pixels)
        scores = await self._scorers.score(of_views, call)
        fingerprints = views.fingerprints
        hashes = np.frombuffer(b"".join(each.hashes for each in fingerprints), np.uint8)
        return Examined(
            work.number,
            scores.values,
            scores.logit_scale,
            self._clock() - arrived_s,
            decoded_s,
            views.places,
            views.faces.places,
            views.media_type,
            views.frames_seen,
            views.frames_total,
            views.is_truncated,
            tuple((each.frame, each.quality) for each in fingerprints),
            hashes.reshape(len(fingerprints), DIHEDRAL_HASHES * PDQ_BYTES),
        )

    async def _fail(self, work: Work | BodyWork, reason: UnscannedReason, message: str, arrived_s: float) -> None:
        told = printable(message[:_TOLD_CHARACTERS])[:_TOLD_CHARACTERS]
        await self._send(Failed(work.number, reason, told, self._clock() - arrived_s))
