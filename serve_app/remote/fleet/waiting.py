"""The pictures that wait at a front for a worker."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve_app.batching.job_queue import Job, JobQueue
from serve_app.domain import Lane
from serve_app.remote.fleet.member import Member
from serve_app.remote.fleet.picture import Answered, Picture


class Waiting:
    """By lane, turns of sources and deadline; those that are handed over come first in their lane."""

    def __init__(self) -> None:
        self._queue: JobQueue[Picture, Answered] = JobQueue()
        self._jobs: dict[Picture, Job[Picture, Answered]] = {}
        self._again: dict[Lane, list[Picture]] = {lane: [] for lane in Lane}

    def __len__(self) -> int:
        return len(self._jobs) + sum(map(len, self._again.values()))

    def __iter__(self) -> Iterator[Picture]:
        return iter([*self._again[Lane.LIVE], *self._again[Lane.BACKGROUND], *self._jobs])

    def has(self, picture: Picture) -> bool:
        """Whether ``picture`` waits."""
        return picture in self._jobs or picture in self._again[picture.call.lane]

    def waits(self, lane: Lane) -> bool:
        """Whether a picture of ``lane`` waits."""
        return bool(self._again[lane]) or any(self._queue.waiting(lane).values())

    def waits_for(self, worker: str, lane: Lane) -> bool:
        """Whether a picture of ``lane`` waits that a worker of this name has not had."""
        return any(self._again_for(worker, lane)) or any(self._queue.waiting(lane).values())

    def put(self, picture: Picture) -> None:
        """Add one that has just come."""
        self._jobs[picture] = picture.job()
        self._queue.put(self._jobs[picture])

    def put_back(self, picture: Picture) -> None:
        """Add one that a worker had: its source has had a turn for it."""
        again = self._again[picture.call.lane]
        again.append(picture)
        again.sort(key=lambda each: each.due_s)

    def remove(self, picture: Picture) -> None:
        """Take one out, if it waits."""
        job = self._jobs.pop(picture, None)
        if job is not None:
            self._queue.remove(job)
        elif picture in self._again[picture.call.lane]:
            self._again[picture.call.lane].remove(picture)

    def take(self, picture: Picture) -> None:
        """Take one out for a worker: a turn of its source."""
        job = self._jobs.pop(picture, None)
        if job is None:
            self._again[picture.call.lane].remove(picture)
        else:
            self._queue.take_job(job)

    def heads(self, lane: Lane) -> Sequence[Picture]:
        """The next one of ``lane`` among those that the same workers have had, for each such set of workers."""
        heads: dict[frozenset[str], Picture] = {}
        for picture in self._again[lane]:
            if not picture.future.done():
                heads.setdefault(frozenset(picture.tried), picture)
        job = self._queue.head((lane,))
        return [*heads.values(), *(job.items if job is not None else ())]

    def first_due_s(self, worker: str, lane: Lane) -> float:
        """The earliest deadline in ``lane`` of those that ``worker`` has not had; infinite if none waits."""
        first_s = self._queue.first_due_s(lane)
        again_s = (each.due_s for each in self._again_for(worker, lane))
        return min([*again_s, math.inf if first_s is None else first_s])

    def first_due_after(self, due_s: float, head: Picture) -> Picture | None:
        """The next one that is due at ``due_s`` or later, of those of which ``head`` is the next (:meth:`heads`)."""
        lane = head.call.lane
        if head.tried:
            alike = (each for each in self._again[lane] if set(each.tried) == set(head.tried) and each.due_s >= due_s)
            return next((each for each in alike if not each.future.done()), None)
        job = self._queue.head_due_after(due_s, lane)
        return None if job is None else job.items[0]

    def _again_for(self, worker: str, lane: Lane) -> Iterator[Picture]:
        return (each for each in self._again[lane] if worker not in each.tried and not each.future.done())

    def wait_s(self, picture: Picture, members: Sequence[Member], beside: Mapping[int, int]) -> float:
        """Seconds until ``members`` have begun all that goes before a picture that comes now.

        ``beside`` are rows of each set of labels that wait elsewhere for the same members.
        """
        call = picture.call
        ahead = _rows(self._queue.ahead_of(picture.due_s, 1, call.source, call.share / max(1, picture.rows), call.lane))
        for lane in Lane if call.lane is Lane.BACKGROUND else (Lane.LIVE,):
            ahead.update(self._rows_again(lane))
        ahead.update(beside)
        return _shared_s(ahead, call.lane, members)

    def rows_before(self, lane: Lane) -> Counter[int]:
        """All that wait and go before a picture of ``lane`` that comes elsewhere."""
        rows: Counter[int] = Counter()
        for each in Lane if lane is Lane.BACKGROUND else (Lane.LIVE,):
            rows.update(_rows(self._queue.waiting(each)) + self._rows_again(each))
        return rows

    def drained_s(self, lane: Lane, members: Sequence[Member]) -> float:
        """Seconds in which ``members`` would work off all of ``lane``; infinite without members."""
        return _shared_s(_rows(self._queue.waiting(lane)) + self._rows_again(lane), lane, members)

    def _rows_again(self, lane: Lane) -> Counter[int]:
        return _rows(Counter((each.label_set, each.rows) for each in self._again[lane]))


def _rows(pictures: Mapping[Any, int]) -> Counter[int]:
    """Of each set of labels, for so many pictures of each kind (:meth:`Picture.job`)."""
    rows: Counter[int] = Counter()
    for (label_set, rows_each), count in pictures.items():
        rows[label_set] += rows_each * count
    return rows


def _shared_s(rows: Counter[int], lane: Lane, members: Sequence[Member]) -> float:
    """Seconds until members that share ``rows`` have done them, each by what it has left and its speed."""
    if not +rows:
        return 0.0
    each = sorted((member.load.remaining_s(lane), member.pace_s(rows)) for member in members)
    ends_s, per_s, begun = float("inf"), 0.0, 0.0
    for remaining_s, cost_s in each:
        if remaining_s >= ends_s:
            break
        # The share that is done at t is the sum of (t - remaining) / cost: the end is where it is all.
        per_s += 1.0 / cost_s
        begun += remaining_s / cost_s
        ends_s = (1.0 + begun) / per_s
    return ends_s
