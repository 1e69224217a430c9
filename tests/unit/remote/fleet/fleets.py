"""A fleet in virtual time, pictures whose scores are their own, and what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.simulated_worker import Machine, SimulatedWorker, views_of
from serve_app.domain import Call, Deadline, LabelScores, Lane, NotScannedError, Views
from serve_app.remote.fleet import Fleet, Member

DEADLINE_S = 8.0
GPU = Machine(bytes_per_s=1e9)
"""Computes 400 views a second, 20 ms away, over a link that costs nothing."""


def slower(times: float) -> Machine:
    return Machine({size: seconds * times for size, seconds in GPU.pass_s.items()}, bytes_per_s=1e9)


@dataclass
class Outcome:
    number: int
    asked_s: float
    due_s: float
    scores: LabelScores | None = None
    error: NotScannedError | None = None
    ended_s: float | None = None

    @property
    def worker(self) -> str | None:
        return None if self.scores is None else self.scores.worker

    @property
    def took_s(self) -> float:
        assert self.ended_s is not None
        return self.ended_s - self.asked_s


@dataclass
class Told:
    """A watcher that remembers."""

    joined_names: list[str] = field(default_factory=list)
    left_whys: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    whys: list[str] = field(default_factory=list)
    times_handed_over: Counter[str] = field(default_factory=Counter)

    def joined(self, member: Member) -> None:
        self.joined_names.append(member.name)

    def left(self, member: Member, why: str) -> None:
        self.left_whys[member.name] = why

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        self.counts["scored"] += 1

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        self.counts["handed over"] += 1
        self.whys.append(why)
        self.times_handed_over[call.request_id] += 1

    def failed(self, call: Call, error: NotScannedError) -> None:
        self.counts["failed"] += 1


class Front:
    """A fleet with simulated workers, and the pictures that it was asked for."""

    def __init__(self, *machines: Machine, **settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.fleet = Fleet([("label",)], clock=self.loop.time, **settings)
        self.told = Told()
        self.fleet.watchers.append(self.told)
        self.workers: list[SimulatedWorker] = []
        self.members: list[Member] = []
        self.outcomes: list[Outcome] = []
        self.tasks: list[asyncio.Task[None]] = []
        for machine in machines:
            self.join(machine)

    async def __aenter__(self) -> Front:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        self.fleet.close()
        for worker in self.workers:
            await worker.end()

    def join(self, machine: Machine = GPU, worker: SimulatedWorker | None = None) -> SimulatedWorker:
        worker = worker or SimulatedWorker(machine)
        self.workers.append(worker)
        self.members.append(worker.join(self.fleet))
        return worker

    async def measure(self) -> None:
        """One picture through each worker, as a probe is: its link is known after it."""
        for member in self.members:
            call = Call("probe", Deadline.after(60, self.loop.time))
            await self.fleet.score_by(member, 0, views_of(0, 16), call)

    def ask(
        self, count: int = 5, deadline_s: float = DEADLINE_S, lane: Lane = Lane.LIVE, source: str = "unnamed"
    ) -> Outcome:
        """Begin to score one picture."""
        now_s, number = self.loop.time(), len(self.outcomes)
        outcome = Outcome(number, now_s, now_s + deadline_s)
        self.outcomes.append(outcome)
        deadline = Deadline(outcome.due_s, self.loop.time)
        self.tasks.append(self.loop.create_task(self._ask(outcome, count, Call(str(number), deadline, lane, source))))
        return outcome

    async def _ask(self, outcome: Outcome, count: int, call: Call) -> None:
        try:
            outcome.scores = await self.fleet.score(0, views_of(outcome.number % 256, count), call)
        except NotScannedError as error:
            outcome.error = error
        outcome.ended_s = self.loop.time()

    async def ask_at(self, per_s: float, seconds: float, **how) -> list[Outcome]:
        """One after another, evenly."""
        asked = []
        for _ in range(round(per_s * seconds)):
            asked.append(self.ask(**how))
            await asyncio.sleep(1 / per_s)
        return asked

    async def answers(self) -> list[Outcome]:
        """All of them, once all have ended."""
        await asyncio.gather(*self.tasks)
        return self.outcomes

    def by_worker(self) -> Counter[str | None]:
        return Counter(outcome.worker for outcome in self.outcomes)
