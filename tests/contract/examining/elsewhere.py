"""A worker of the tests that has joined a fleet: it has an engine, and every message goes through its frame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.composition.scoring import EngineScorers
from serve_app.domain import Call, Deadline, LoadSignals, NotScannedError
from serve_app.remote.fleet import Fleet, Member
from serve_app.remote.frames import from_front, from_worker, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Cancelled,
    Failed,
    FromFront,
    FromWorker,
    Hello,
    Offer,
    Ping,
    Pong,
    Refused,
    Scored,
    Work,
)
from serve_app.remote.scorers import RemoteScorers
from tests.contract.examining import stages

SETS = (stages.LABELS, stages.OTHER_LABELS)


class Worker:
    """:class:`serve_app.remote.fleet.ports.Line` to an engine of this process."""

    unsent_bytes = 0

    def __init__(self, scorers: EngineScorers) -> None:
        self.member: Member | None = None
        self._scorers = scorers
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def send(self, message: FromFront) -> None:
        match from_front(packed(message)):
            case Work() as work:
                self._tasks[work.number] = asyncio.create_task(self._score(work))
            case Cancelled(number):
                self._tasks[number].cancel()
            case Ping(number):
                asyncio.get_running_loop().call_soon(self._answer, Pong(number))

    def close(self, refused: Refused | None = None) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _score(self, work: Work) -> None:
        scorer = self._scorers.of(SETS[work.label_set])
        call = Call(str(work.number), Deadline.after(work.remaining_s), work.lane)
        try:
            scores = await scorer.score_pixels(work.pixels, work.faces, call, LoadSignals())
        except NotScannedError as error:
            self._answer(Failed(work.number, error.reason, str(error), 0.0))
        else:
            self._answer(Scored(work.number, scores.values, scores.logit_scale, 0.0))

    def _answer(self, message: FromWorker) -> None:
        got = from_worker(packed(message))
        assert self.member is not None
        assert isinstance(got, Scored | Failed | Pong)
        self.member.received(got)


@contextlib.asynccontextmanager
async def worker_elsewhere() -> AsyncIterator[RemoteScorers]:
    """Scorers over a fleet of one worker."""
    scorers = stages.engine_scorers()
    fleet = Fleet(SETS)
    worker = Worker(scorers)
    offers = tuple(Offer(scorers.of(labels).model, {1: 0.001, 8: 0.002}) for labels in SETS)
    worker.member = fleet.join(Hello(PROTOCOL, "0.2.0", "desktop", "a GPU", offers), worker, "alice")
    yield RemoteScorers(fleet, SETS)
    worker.member.lost("the test is over")
    await scorers.close()
