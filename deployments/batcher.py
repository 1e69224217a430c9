"""Late-binding, deadline-aware batching: the batch is formed at the moment the device becomes free.

Ray's own ``@serve.batch`` forms a batch first and lets it wait for the device afterwards, so that work which arrives
meanwhile is never merged into it: an idle service waits for a timeout that it does not need, and a busy one runs
batches of one (``docs/adr/0003-late-binding-batches.md``). Here nothing is decided before the device is free:

* an idle service never waits: the first item starts a pass at once;
* a busy one fills its batches by itself, with all that arrived during the pass, earliest deadline first;
* what can no longer make its deadline is dropped before a pass, and what could never make it is refused on arrival;
* each job has its own outcome: a poisoned item fails its job and no other; a caller that goes away takes its items
  with it.

Not thread-safe: everything runs on one event loop, and only the pass itself may leave it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from deployments.pass_costs import PassCosts
from serve_app.domain import Clock, Deadline, DeadlineExceededError, OverloadedError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(order=True, slots=True)
class _Job(Generic[Item, Outcome]):
    """One caller's items. Ordered by deadline, then by arrival."""

    due_s: float
    arrival: int
    items: Sequence[Item] = field(compare=False)
    future: asyncio.Future[list[Outcome]] = field(compare=False)
    taken: int = field(default=0, compare=False)
    outcomes: list[Outcome] = field(default_factory=list, compare=False)

    @property
    def waiting(self) -> int:
        """Items not yet taken into a pass; none, once the caller has its answer or is gone."""
        return 0 if self.future.done() else len(self.items) - self.taken


@dataclass(frozen=True, slots=True)
class BatcherStats:
    """Counts since the start."""

    passes: int
    items: int
    dropped_jobs: int
    refused_jobs: int


class Batcher(Generic[Item, Outcome]):
    """Forms batches for one device.

    ``run_pass`` is given up to ``costs.largest_bucket`` items and returns one outcome per item, in order. If it
    raises, the batch is run again in halves, so that only the item that poisons a pass loses its job.
    """

    def __init__(
        self,
        run_pass: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
        costs: PassCosts,
        max_queued_items: int,
        clock: Clock = time.monotonic,
    ) -> None:
        self._run_pass = run_pass
        self._costs = costs
        self._max_queued_items = max_queued_items
        self._clock = clock
        self._queue: list[_Job[Item, Outcome]] = []
        self._arrivals = itertools.count()
        self._arrived = asyncio.Event()
        self._device: asyncio.Task[None] | None = None
        self._pass_started_s: float | None = None
        self._pass_expected_s = 0.0
        self._passes = self._items = self._dropped = self._refused = 0

    @property
    def stats(self) -> BatcherStats:
        """What has been done so far."""
        return BatcherStats(self._passes, self._items, self._dropped, self._refused)

    @property
    def pass_overdue_s(self) -> float:
        """Seconds by which the running pass is later than it should be; zero or less while all is well."""
        if self._pass_started_s is None:
            return 0.0
        return self._clock() - self._pass_started_s - self._pass_expected_s

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until the device has done all that waits now; what :meth:`submit` compares with a deadline."""
        return self._pass_remaining_s() + self._costs.total_s(sum(job.waiting for job in self._queue))

    async def submit(self, items: Sequence[Item], deadline: Deadline) -> list[Outcome]:
        """The outcomes of ``items``, in order; they may go through the device in several passes.

        Raises:
            OverloadedError: at once, when the queue is full or its predicted wait is longer than what is left.
            DeadlineExceededError: when the deadline can no longer be met.
            Exception: what ``run_pass`` raised for one of these items alone.
        """
        if not items:
            return []
        self._admit(len(items), deadline)
        job = _Job[Item, Outcome](
            deadline.at_s, next(self._arrivals), items, asyncio.get_running_loop().create_future()
        )
        heapq.heappush(self._queue, job)
        self._arrived.set()
        if self._device is None:
            self._device = asyncio.create_task(self._serve_device(), name="batcher")
        try:
            return await job.future
        except BaseException:
            # The caller went away, or an item failed: what of this job still waits must not reach the device.
            self._forget(job)
            raise

    async def close(self) -> None:
        """Stop; jobs that are queued or in the running pass are cancelled."""
        if self._device is not None:
            self._device.cancel()
            await asyncio.gather(self._device, return_exceptions=True)
            self._device = None
        for job in self._queue:
            job.future.cancel()
        self._queue.clear()

    def _admit(self, items: int, deadline: Deadline) -> None:
        remaining_s = deadline.require("scoring")
        queued = sum(job.waiting for job in self._queue)
        ahead = sum(job.waiting for job in self._queue if job.due_s <= deadline.at_s)
        wait_s = self._pass_remaining_s() + self._costs.total_s(ahead + items)
        if queued + items > self._max_queued_items or wait_s > remaining_s:
            self._refused += 1
            raise OverloadedError(f"{queued} views wait, about {wait_s:.1f} s of work; {remaining_s:.1f} s are left")

    def _forget(self, job: _Job[Item, Outcome]) -> None:
        if job in self._queue:
            self._queue.remove(job)
            heapq.heapify(self._queue)

    def _pass_remaining_s(self) -> float:
        """How long the running pass will still take. One that is late by x is taken to need x more."""
        return 0.0 if self._pass_started_s is None else abs(self.pass_overdue_s)

    async def _serve_device(self) -> None:
        while True:
            batch = self._form_batch()
            if not batch:
                self._arrived.clear()
                await self._arrived.wait()
                # Arrivals of the same turn of the event loop belong into the same batch.
                await asyncio.sleep(0)
                continue
            try:
                outcomes = await self._run(batch)
            except asyncio.CancelledError:
                for job, _ in batch:
                    job.future.cancel()
                raise
            for (job, _), outcome in zip(batch, outcomes, strict=True):
                self._deliver(job, outcome)

    def _form_batch(self) -> list[tuple[_Job[Item, Outcome], Item]]:
        """The items of the next pass: earliest deadline first, as many as the device does best.

        Jobs that cannot be finished in time leave the queue here, before any work is spent on them.
        """
        now_s = self._clock()
        while self._queue:
            head = self._queue[0]
            budget_s = head.due_s - now_s
            if head.waiting and self._costs.total_s(head.waiting) <= budget_s:
                return self._take(self._costs.batch_size(sum(job.waiting for job in self._queue), budget_s))
            heapq.heappop(self._queue)
            if head.waiting:
                self._dropped += 1
                head.future.set_exception(DeadlineExceededError(f"{budget_s:.2f} s are left, and scoring takes longer"))
        return []

    def _take(self, size: int) -> list[tuple[_Job[Item, Outcome], Item]]:
        batch: list[tuple[_Job[Item, Outcome], Item]] = []
        while len(batch) < size:
            job = self._queue[0]
            taken = min(size - len(batch), job.waiting)
            batch += [(job, item) for item in job.items[job.taken : job.taken + taken]]
            job.taken += taken
            if not job.waiting:
                heapq.heappop(self._queue)
        return batch

    async def _run(self, batch: Sequence[tuple[_Job[Item, Outcome], Item]]) -> list[Outcome | Exception]:
        """One outcome per item; an item that fails by itself has its exception as outcome."""
        self._pass_started_s, self._pass_expected_s = self._clock(), self._costs.pass_s(len(batch))
        try:
            outcomes = await self._run_pass([item for _, item in batch])
            if len(outcomes) != len(batch):
                raise RuntimeError(f"a pass of {len(batch)} items gave {len(outcomes)} outcomes")
        except Exception as error:
            if len(batch) == 1:
                return [error]
            middle = len(batch) // 2
            return await self._run(batch[:middle]) + await self._run(batch[middle:])
        else:
            self._costs.observe(len(batch), self._clock() - self._pass_started_s)
            self._passes += 1
            self._items += len(batch)
            return list(outcomes)
        finally:
            self._pass_started_s = None

    @staticmethod
    def _deliver(job: _Job[Item, Outcome], outcome: Outcome | Exception) -> None:
        if job.future.done():
            return
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
            return
        job.outcomes.append(outcome)
        if len(job.outcomes) == len(job.items):
            job.future.set_result(job.outcomes)
