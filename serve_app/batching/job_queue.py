"""The queue of a device: jobs of one caller each, by lane and deadline.

Live jobs come before background ones, and within a lane the earliest deadline comes first. A job's items may go to the
device in several passes, and a pass may hold items of several jobs of one kind.
"""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from serve_app.batching.pass_costs import Kind
from serve_app.domain import Lane

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
        self._lanes: dict[Lane, list[Job[Item, Outcome]]] = {lane: [] for lane in Lane}
        self._waiting: dict[Lane, Counter[Kind]] = {lane: Counter() for lane in Lane}

    def put(self, job: Job[Item, Outcome]) -> None:
        """Add ``job``."""
        insort(self._lanes[job.lane], job)
        self._waiting[job.lane][job.kind] += job.left

    def remove(self, job: Job[Item, Outcome]) -> None:
        """Remove ``job``, if it waits."""
        lane = self._lanes[job.lane]
        at = bisect_left(lane, job)
        if at < len(lane) and lane[at] is job:
            del lane[at]
            self._waiting[job.lane][job.kind] -= job.left

    def waiting(self, lane: Lane) -> Mapping[Kind, int]:
        """Items of each kind that wait in ``lane``."""
        return self._waiting[lane]

    def jobs(self, lane: Lane) -> Sequence[Job[Item, Outcome]]:
        """The jobs of ``lane``, in order, as they are now."""
        return tuple(self._lanes[lane])

    def last_due_s(self, lane: Lane) -> float | None:
        """The deadline of the last job of ``lane``; None if none waits."""
        return self._lanes[lane][-1].due_s if self._lanes[lane] else None

    def ahead_of(self, due_s: float, lane: Lane) -> Counter[Kind]:
        """Items of each kind that would be before a new job of ``lane``."""
        ahead = self._waiting[lane].copy()
        # From the end, since most jobs came earlier and are due earlier.
        for job in reversed(self._lanes[lane]):
            if job.due_s <= due_s:
                break
            ahead[job.kind] -= job.left
        if lane is Lane.BACKGROUND:
            ahead.update(self._waiting[Lane.LIVE])
        return ahead

    def head(self, lanes: Sequence[Lane]) -> Job[Item, Outcome] | None:
        """The next job of the first of ``lanes`` in which one waits."""
        for lane in lanes:
            while self._lanes[lane]:
                job = self._lanes[lane][0]
                if not job.future.done():
                    return job
                self.remove(job)  # its caller has its answer or is gone
        return None

    def take(self, size: int, lane: Lane, kind: Kind) -> Batch[Item, Outcome]:
        """At most ``size`` items of ``kind`` in ``lane``, earliest deadline first."""
        batch: Batch[Item, Outcome] = []
        for job in self.jobs(lane):
            if len(batch) == size:
                break
            if job.future.done():  # its caller has its answer or is gone
                self.remove(job)
            elif job.kind == kind:
                taken = min(size - len(batch), job.left)
                batch += [(job, item) for item in job.items[job.taken : job.taken + taken]]
                job.taken += taken
                self._waiting[lane][kind] -= taken
                if not job.left:
                    self.remove(job)
        return batch
