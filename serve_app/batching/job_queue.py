"""The queue of a device: jobs of one caller each, by lane and deadline.

Live jobs come before background ones. Within a lane the sources whose jobs wait take turns, item by item, and of a
source the earliest deadline comes first. A job's items may go to the device in several passes, and a pass may hold
items of several jobs of one kind.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from serve_app.batching.pass_costs import Kind
from serve_app.concurrency.fair_queue import Turns
from serve_app.domain import UNNAMED_SOURCE, Lane

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_arrivals = itertools.count()


@dataclass(order=True, slots=True)
class Job(Generic[Item, Outcome]):
    """One caller's items. Ordered by deadline, then by arrival."""

    due_s: float
    items: Sequence[Item] = field(compare=False)
    future: asyncio.Future[list[Outcome]] = field(compare=False)
    lane: Lane = field(compare=False)
    kind: Kind = field(default=None, compare=False)
    arrival: int = field(default_factory=lambda: next(_arrivals))
    taken: int = field(default=0, compare=False)
    outcomes: list[Outcome] = field(default_factory=list, compare=False)
    first_pass_s: float | None = field(default=None, compare=False)  # when the first pass with one of its items began
    came_to_idle_device: bool = field(default=False, compare=False)  # tried, however long a pass is expected to take
    source: str = field(default=UNNAMED_SOURCE, compare=False)
    share: float = field(default=1.0, compare=False)

    @property
    def left(self) -> int:
        """Items not yet taken into a pass."""
        return len(self.items) - self.taken

    def deliver(self, outcome: Outcome | Exception) -> None:
        """Take the outcome of this job's next item. The first exception, or the last outcome, ends the job."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
            return
        self.outcomes.append(outcome)
        if len(self.outcomes) == len(self.items):
            self.future.set_result(self.outcomes)


Batch = list[tuple[Job[Item, Outcome], Item]]
"""The items of one pass, each with its job; all of one kind."""


class JobQueue(Generic[Item, Outcome]):
    """The two lanes. Counts are of items, as a pass takes items."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, dict[str, list[Job[Item, Outcome]]]] = {lane: {} for lane in Lane}
        self._waiting: dict[Lane, Counter[Kind]] = {lane: Counter() for lane in Lane}
        self._of_sources: dict[Lane, dict[str, Counter[Kind]]] = {lane: {} for lane in Lane}
        self._turns = {lane: Turns() for lane in Lane}

    def put(self, job: Job[Item, Outcome]) -> None:
        """Add ``job``."""
        insort(self._lanes[job.lane].setdefault(job.source, []), job)
        self._of_sources[job.lane].setdefault(job.source, Counter())
        self._count(job, job.left)

    def remove(self, job: Job[Item, Outcome]) -> None:
        """Remove ``job``, if it waits."""
        jobs = self._lanes[job.lane].get(job.source, [])
        at = bisect_left(jobs, job)
        if at < len(jobs) and jobs[at] is job:
            del jobs[at]
            self._count(job, -job.left)
            if not jobs:
                del self._lanes[job.lane][job.source], self._of_sources[job.lane][job.source]

    def waiting(self, lane: Lane) -> Mapping[Kind, int]:
        """Items of each kind that wait in ``lane``."""
        return self._waiting[lane]

    def waiting_of(self, source: str, lane: Lane) -> int:
        """Items of ``source`` that wait in ``lane``."""
        return self._of_sources[lane].get(source, Counter()).total()

    def part_of(self, source: str, share: float, lane: Lane) -> float:
        """The part of all turns that a source with the weight ``share`` has beside the others that wait in ``lane``."""
        return share / (share + sum(jobs[0].share for other, jobs in self._lanes[lane].items() if other != source))

    def jobs(self, lane: Lane) -> Sequence[Job[Item, Outcome]]:
        """The jobs of ``lane`` as they are now, in the order in which turns will have taken their last items."""
        by_turns: list[tuple[float, Job[Item, Outcome]]] = []
        for jobs in self._lanes[lane].values():
            items = itertools.accumulate(job.left for job in jobs)
            by_turns += [(through / job.share, job) for through, job in zip(items, jobs, strict=True)]
        return [job for _, job in sorted(by_turns)]

    def firsts(self, lane: Lane, kind: Kind) -> Sequence[Job[Item, Outcome]]:
        """Of each source, the job of ``kind`` in ``lane`` that is due first."""
        of_kind = (
            next((job for job in jobs if job.kind == kind and not job.future.done()), None)
            for jobs in self._lanes[lane].values()
        )
        return [job for job in of_kind if job is not None]

    def first_due_s(self, lane: Lane) -> float | None:
        """The earliest deadline in ``lane``; None if no job waits."""
        return min((jobs[0].due_s for jobs in self._lanes[lane].values()), default=None)

    def last_due_s(self, lane: Lane) -> float | None:
        """The latest deadline in ``lane``; None if no job waits."""
        return max((jobs[-1].due_s for jobs in self._lanes[lane].values()), default=None)

    def ahead_of(self, due_s: float, items: int, source: str, share: float, lane: Lane) -> Counter[Kind]:
        """Items of each kind that go before the last one of a new job.

        They are the items of its source that are due before it, those for which other sources have turns meanwhile, and
        live ones where it is not live.

        Args:
            due_s: the deadline of the new job.
            items: that it has.
            source: of the job.
            share: the weight of its source.
            lane: that it will wait in.
        """
        ahead = self._of_sources[lane].get(source, Counter[Kind]()).copy()
        # From the end, since most jobs came earlier and are due earlier.
        for job in reversed(self._lanes[lane].get(source, [])):
            if job.due_s <= due_s:
                break
            ahead[job.kind] -= job.left
        own = ahead.total() + items
        for other, jobs in self._lanes[lane].items():
            turns = math.ceil(own * jobs[0].share / share) if other != source else 0
            for job in jobs:
                if turns <= 0:
                    break
                ahead[job.kind] += min(job.left, turns)
                turns -= job.left
        if lane is Lane.BACKGROUND:
            ahead.update(self._waiting[Lane.LIVE])
        return ahead

    def head(self, lanes: Sequence[Lane]) -> Job[Item, Outcome] | None:
        """The next job of the first of ``lanes`` in which one waits."""
        for lane in lanes:
            for source in tuple(self._lanes[lane]):
                self._drop_answered(lane, source)
            if self._lanes[lane]:
                return self._next(lane, [jobs[0] for jobs in self._lanes[lane].values()])
        return None

    def head_due_after(self, due_s: float, lane: Lane) -> Job[Item, Outcome] | None:
        """The next job of ``lane`` among those that are due at ``due_s`` or later."""
        later = []
        for jobs in self._lanes[lane].values():
            at = bisect_left(jobs, due_s, key=lambda job: job.due_s)
            later += next(([job] for job in jobs[at:] if not job.future.done()), [])
        return self._next(lane, later) if later else None

    def take_job(self, job: Job[Item, Outcome]) -> None:
        """Take all that is left of ``job``, whoever's turn it is; its source has one turn less."""
        self._turns[job.lane].take(job.source, job.share / max(1, job.left))
        self.remove(job)

    def take(self, size: int, lane: Lane, kind: Kind) -> Batch[Item, Outcome]:
        """At most ``size`` items of ``kind`` in ``lane``: sources take turns; of each, the earliest deadline first."""
        of_sources = [self._of_kind(jobs, kind) for jobs in self._lanes[lane].values()]
        waiting = {jobs[0].source: jobs for jobs in of_sources if jobs}
        batch: Batch[Item, Outcome] = []
        while waiting and len(batch) < size:
            job = self._next(lane, [jobs[0] for jobs in waiting.values()])
            # Items of the only source that waits need not be counted one by one.
            taken = 1 if len(waiting) > 1 else min(size - len(batch), job.left)
            batch += [(job, item) for item in job.items[job.taken : job.taken + taken]]
            self._turns[lane].take(job.source, job.share / taken)
            job.taken += taken
            self._count(job, -taken)
            if not job.left:
                self.remove(job)
                waiting[job.source].popleft()
                if not waiting[job.source]:
                    del waiting[job.source]
        return batch

    def _next(self, lane: Lane, heads: Sequence[Job[Item, Outcome]]) -> Job[Item, Outcome]:
        """Of the first jobs of several sources, the one whose source has the next turn, or is due first."""
        by_source = {job.source: job for job in sorted(heads)}
        return by_source[self._turns[lane].first(by_source)]

    def _count(self, job: Job[Item, Outcome], by: int) -> None:
        self._waiting[job.lane][job.kind] += by
        self._of_sources[job.lane][job.source][job.kind] += by

    def _drop_answered(self, lane: Lane, source: str) -> None:
        """Remove the first jobs of a source whose callers have their answers or are gone."""
        jobs = self._lanes[lane][source]
        while jobs and jobs[0].future.done():
            self.remove(jobs[0])

    @staticmethod
    def _of_kind(jobs: Sequence[Job[Item, Outcome]], kind: Kind) -> deque[Job[Item, Outcome]]:
        return deque(job for job in jobs if job.kind == kind and not job.future.done())
