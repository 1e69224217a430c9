"""The queue of a device: jobs of one caller each, by lane and deadline.

Live jobs come before background ones. Within a lane the sources whose jobs wait take turns, item by item, and of a
source the earliest deadline comes first. A job's items may go to the device in several passes, and a pass may hold
items of several jobs of one kind.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from serve_app.batching.pass_costs import Kind
from serve_app.domain import UNNAMED_SOURCE, Lane
from serve_app.fair_queue import Turns

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
        self._turns = {lane: Turns() for lane in Lane}

    def put(self, job: Job[Item, Outcome]) -> None:
        """Add ``job``."""
        insort(self._lanes[job.lane].setdefault(job.source, []), job)
        self._waiting[job.lane][job.kind] += job.left

    def remove(self, job: Job[Item, Outcome]) -> None:
        """Remove ``job``, if it waits."""
        jobs = self._lanes[job.lane].get(job.source, [])
        at = bisect_left(jobs, job)
        if at < len(jobs) and jobs[at] is job:
            del jobs[at]
            self._waiting[job.lane][job.kind] -= job.left
            if not jobs:
                del self._lanes[job.lane][job.source]

    def waiting(self, lane: Lane) -> Mapping[Kind, int]:
        """Items of each kind that wait in ``lane``."""
        return self._waiting[lane]

    def jobs(self, lane: Lane) -> Sequence[Job[Item, Outcome]]:
        """The jobs of ``lane`` by their deadlines, as they are now."""
        return tuple(heapq.merge(*self._lanes[lane].values()))

    def last_due_s(self, lane: Lane) -> float | None:
        """The latest deadline in ``lane``; None if no job waits."""
        return max((jobs[-1].due_s for jobs in self._lanes[lane].values()), default=None)

    def ahead_of(self, due_s: float, lane: Lane) -> Counter[Kind]:
        """Items of each kind that are due before a new job of ``lane``, or are live where that one is not."""
        ahead = self._waiting[lane].copy()
        for jobs in self._lanes[lane].values():
            # From the end, since most jobs came earlier and are due earlier.
            for job in reversed(jobs):
                if job.due_s <= due_s:
                    break
                ahead[job.kind] -= job.left
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
            self._waiting[lane][kind] -= taken
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

    def _drop_answered(self, lane: Lane, source: str) -> None:
        """Remove the first jobs of a source whose callers have their answers or are gone."""
        jobs = self._lanes[lane][source]
        while jobs and jobs[0].future.done():
            self.remove(jobs[0])

    @staticmethod
    def _of_kind(jobs: Sequence[Job[Item, Outcome]], kind: Kind) -> deque[Job[Item, Outcome]]:
        return deque(job for job in jobs if job.kind == kind and not job.future.done())
