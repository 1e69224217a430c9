"""Late-binding, deadline-aware batching: the batch is formed at the moment the device becomes free.

Ray's own ``@serve.batch`` forms a batch first and lets it wait for the device afterwards, so that work which arrives
meanwhile is never merged into it: an idle service waits for a timeout that it does not need, and a busy one runs
batches of one (``docs/adr/0003-late-binding-batches.md``). Here nothing is decided before the device is free:

* an idle service never waits: the first item starts a pass at once;
* a busy one fills its batches by itself, with all that arrived during the pass, earliest deadline first;
* what can no longer make its deadline is dropped before a pass, what could never make it is refused on arrival, and
  what has become hopeless since, because passes take longer, is told so after the pass that showed it;
* live jobs come first: one waits for no more background work than the pass that is running when it arrives;
* each job has its own outcome: a poisoned item fails its job and no other; a caller that goes away takes its items
  with it.

A device that shares its cores with what prepares its items waits for those that it knows to be coming, as long as the
cores have other work: a pass of one item beside the decoding of ten takes the cores from them, and then they need
another pass. What the cores idle meanwhile may come to what fewer passes save, and not to more.

A device with memory of its own has the next batch staged while it computes. That batch is bound early, by just the time
that staging takes, and only from live jobs: a background batch that is bound could not make way any more.

Not thread-safe: everything runs on one event loop, and only staging and the pass itself may leave it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serve_app.batching.job_queue import Batch, Job, JobQueue
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import (
    Call,
    Clock,
    DeadlineExceededError,
    DeviceMemoryError,
    Lane,
    OverloadedError,
    UnavailableError,
)

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

Staged = Any
"""What ``stage`` makes of items, and ``run_pass`` takes."""


@dataclass(frozen=True, slots=True)
class BatcherStats:
    """Counts since the start."""

    passes: int
    items: int
    dropped_jobs: int
    refused_jobs: int


@dataclass(frozen=True, slots=True)
class _StagedBatch(Generic[Item, Outcome]):
    """A batch on its way to the device; ``failure`` is why it did not get there."""

    batch: Batch[Item, Outcome]
    staged: Staged = None
    failure: Exception | None = None


class Batcher(Generic[Item, Outcome]):
    """Forms batches for one device.

    ``run_pass`` is given up to ``costs.largest_bucket`` items, and returns one outcome per item, in order. If it
    raises, the batch is run again in halves, so that only the item that poisons a pass loses its job; where it was the
    device's memory that did not suffice, no later batch is larger than a half.

    ``stage``, for a device with memory of its own, is given the items instead, while an earlier pass still runs, and
    ``run_pass`` then what it returned.
    """

    def __init__(
        self,
        run_pass: Callable[[Staged], Awaitable[Sequence[Outcome]]],
        costs: PassCosts,
        max_queued_items: int,
        stage: Callable[[Sequence[Item]], Awaitable[Staged]] | None = None,
        idle_s: Callable[[], float] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """``max_queued_items`` is for each lane.

        ``idle_s``, for a device that shares its cores with what prepares items, tells how long they have idled.
        """
        self._run_pass = run_pass
        self._stage = stage
        self._costs = costs
        self._max_queued_items = max_queued_items
        self._idle_s = idle_s
        self._clock = clock
        self._queue: JobQueue[Item, Outcome] = JobQueue()
        self._arrived = asyncio.Event()
        self._device: asyncio.Task[None] | None = None
        self._has_ended = False  # by an error or by close
        self._unanswered: set[asyncio.Future[list[Outcome]]] = set()
        self._stagings_started_s: list[float] = []
        self._pass_started_s: float | None = None
        self._pass_expected_s = 0.0
        self._bound_items = 0
        self._coming = 0
        self._passes = self._items = self._dropped = self._refused = 0

    @property
    def stats(self) -> BatcherStats:
        """What has been done so far."""
        return BatcherStats(self._passes, self._items, self._dropped, self._refused)

    @property
    def overdue_s(self) -> float:
        """Seconds by which the running pass, or staging, is later than it should be; zero or less while all is well."""
        return max(self._pass_overdue_s, self._staging_overdue_s)

    @property
    def _pass_overdue_s(self) -> float:
        if self._pass_started_s is None:
            return 0.0
        return self._clock() - self._pass_started_s - self._pass_expected_s

    @property
    def _staging_overdue_s(self) -> float:
        if not self._stagings_started_s:
            return 0.0
        return self._clock() - min(self._stagings_started_s) - self._costs.staging_s

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: the loop that serves the device has ended, and with it all that this does.
        """
        if self._has_ended:
            raise UnavailableError("batching has ended; if that was an error, the log says which")

    def waiting(self, lane: Lane) -> int:
        """Items of ``lane`` that are bound to no pass yet."""
        return self._queue.waiting(lane)

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until the device would be free for a live item that arrived now, behind all live ones."""
        return self._until_free_s() + self._costs.total_s(self._queue.waiting(Lane.LIVE))

    async def submit(self, items: Sequence[Item], call: Call, coming: int = 0) -> list[Outcome]:
        """The outcomes of ``items``, in order; they may go through the device in several passes.

        ``coming`` is how many live items at least are being prepared elsewhere. The latest caller's word counts.

        Raises:
            OverloadedError: at once, when the queue is full or its predicted wait is longer than what is left.
            DeadlineExceededError: when the deadline can no longer be met.
            UnavailableError: batching has ended.
            Exception: what ``run_pass`` raised for one of these items alone.
        """
        if not items:
            return []
        self.require_alive()
        self._coming = coming
        is_idle = self._is_idle
        self._admit(len(items), call, is_idle)
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        job = Job[Item, Outcome](call.deadline.at_s, items, future, call.lane, came_to_idle_device=is_idle)
        self._queue.put(job)
        self._arrived.set()
        if self._device is None:
            self._device = asyncio.create_task(self._serve_device(), name="batcher")
            self._device.add_done_callback(self._end)
        self._unanswered.add(future)
        try:
            return await future
        except BaseException:
            # The caller went away, or an item failed: what of this job still waits must not reach the device.
            self._queue.remove(job)
            raise
        finally:
            self._unanswered.discard(future)

    def _end(self, device: asyncio.Task[None]) -> None:
        """The loop that serves the device has ended: by :meth:`close`, or by an error, which nobody else would see."""
        self._has_ended = True
        if not device.cancelled():
            logger.error("batching has ended by an error", exc_info=device.exception())
        for future in self._unanswered:
            if not future.done():
                future.set_exception(UnavailableError("batching has ended"))

    async def close(self) -> None:
        """Stop; jobs that are queued or in the running pass are told that batching is not there."""
        if self._device is not None:
            self._device.cancel()
            await asyncio.gather(self._device, return_exceptions=True)

    @property
    def _is_idle(self) -> bool:
        waiting = sum(self._queue.waiting(lane) for lane in Lane)
        return self._pass_started_s is None and self._bound_items == 0 and waiting == 0

    def _admit(self, items: int, call: Call, is_idle: bool) -> None:
        remaining_s = call.deadline.require("scoring")
        queued = self._queue.waiting(call.lane)
        ahead = self._queue.ahead_of(call.deadline.at_s, call.lane)
        wait_s = self._until_free_s() + self._costs.total_s(ahead + items)
        # An idle device is tried whatever its passes took when it last ran: nobody else waits for it, and a time in
        # which the machine stood still must not be the last that is ever known of it.
        is_hopeless = wait_s > remaining_s and not is_idle
        if queued + items > self._max_queued_items or is_hopeless:
            self._refused += 1
            raise OverloadedError(f"{queued} views wait, about {wait_s:.1f} s of work; {remaining_s:.1f} s are left")

    def _until_free_s(self) -> float:
        """Seconds until what the device is bound to is done: the running pass, and a batch that is staged for it."""
        return self._pass_remaining_s() + self._costs.total_s(self._bound_items)

    def _pass_remaining_s(self) -> float:
        """How long the running pass will still take. One that is late by x is taken to need x more."""
        return 0.0 if self._pass_started_s is None else abs(self._pass_overdue_s)

    async def _serve_device(self) -> None:
        ahead: _StagedBatch[Item, Outcome] | None = None
        running: asyncio.Task[None] | None = None
        try:
            while True:
                current = ahead or await self._next()
                ahead = None
                self._bound_items = 0
                running = asyncio.create_task(self._serve(current))
                if self._stage is not None:
                    ahead = await self._next_while(running)
                await running
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _next(self) -> _StagedBatch[Item, Outcome]:
        """The next batch, formed when there is one to form; the device is free."""
        while True:
            if self._idle_s is not None and self._saved_by_waiting_s() > 0.0:
                await self._gather(self._idle_s)
            batch = self._form_batch(tuple(Lane))
            if batch:
                return await self._staged(batch)
            self._arrived.clear()
            await self._arrived.wait()
            # Arrivals of the same turn of the event loop belong into the same batch.
            await asyncio.sleep(0)

    async def _gather(self, idle_s: Callable[[], float]) -> None:
        """Wait until the batch holds what is coming, or is full, or has cost as much idle time as it saves.

        It waits no longer than a full pass takes, whatever keeps the cores busy: what is coming may be lost.
        """
        began_s, began_idle_s = self._clock(), idle_s()
        latest_s = began_s + self._costs.pass_s(self._costs.largest_bucket)
        while (saved_s := self._saved_by_waiting_s()) > 0.0:
            left_s = min(saved_s - (idle_s() - began_idle_s), latest_s - self._clock())
            if left_s <= 0.0:
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            except TimeoutError:
                continue  # the cores may have worked for all of it
            await asyncio.sleep(0)  # arrivals of the same turn, as for a batch of an idle device

    def _saved_by_waiting_s(self) -> float:
        """What one pass for the live items, waiting and coming, saves over two; at most what the first can spare."""
        head = self._queue.head((Lane.LIVE,))
        waiting = self._queue.waiting(Lane.LIVE)
        coming = min(self._coming, self._costs.largest_bucket - waiting)
        if head is None or coming <= 0:
            return 0.0
        together_s = self._costs.pass_s(waiting + coming)
        saved_s = self._costs.pass_s(waiting) + self._costs.pass_s(coming) - together_s
        return min(saved_s, head.due_s - self._clock() - together_s)

    async def _next_while(self, running: asyncio.Task[None]) -> _StagedBatch[Item, Outcome] | None:
        """The next batch of live jobs, formed as late as its staging allows; none if the pass is over before."""
        await asyncio.sleep(0)  # the pass begins
        await asyncio.wait({running}, timeout=max(0.0, self._pass_remaining_s() - self._costs.staging_s))
        while not running.done():
            batch = self._form_batch((Lane.LIVE,), self._pass_remaining_s())
            if batch:
                self._bound_items = len(batch)
                return await self._staged(batch)
            self._arrived.clear()
            arrival = asyncio.create_task(self._arrived.wait())
            try:
                await asyncio.wait({running, arrival}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()
        return None

    async def _staged(self, batch: Batch[Item, Outcome]) -> _StagedBatch[Item, Outcome]:
        items = [item for _, item in batch]
        if self._stage is None:
            return _StagedBatch(batch, items)
        started_s = self._clock()
        self._stagings_started_s.append(started_s)
        try:
            staged = await self._stage(items)
        except Exception as error:
            return _StagedBatch(batch, failure=error)
        finally:
            self._stagings_started_s.remove(started_s)
        self._costs.observe_staging(self._clock() - started_s)
        return _StagedBatch(batch, staged)

    def _form_batch(self, lanes: Sequence[Lane], starts_in_s: float = 0.0) -> Batch[Item, Outcome]:
        """The items of the pass that starts in so many seconds: earliest deadline first, as many as do best together.

        Jobs that cannot be finished in time leave the queue here, before any work is spent on them.
        """
        starts_s = self._clock() + starts_in_s
        while (head := self._queue.head(lanes)) is not None:
            budget_s = head.due_s - starts_s
            if self._costs.total_s(head.left) <= budget_s:
                return self._queue.take(self._costs.batch_size(self._queue.waiting(head.lane), budget_s), head.lane)
            if head.came_to_idle_device and budget_s > 0:
                return self._queue.take(1, head.lane)
            self._queue.remove(head)
            self._dropped += 1
            head.future.set_exception(DeadlineExceededError(f"{budget_s:.2f} s are left, and scoring takes longer"))
        return []

    async def _serve(self, current: _StagedBatch[Item, Outcome]) -> None:
        outcomes = await self._run(current)
        for (job, _), outcome in zip(current.batch, outcomes, strict=True):
            job.deliver(outcome)
        self._shed()

    def _shed(self) -> None:
        """Refuse what has become hopeless since it was admitted, because passes take longer than they did.

        It would be dropped before its pass in any case; whoever waits for it is told now and not at the deadline.
        """
        # By a pass more than predicted: what was just admitted is not to be refused for a rounding.
        now_s = self._clock() - self._costs.pass_s(self._costs.largest_bucket)
        ahead = self._bound_items
        for lane in Lane:
            last_due_s = self._queue.last_due_s(lane)
            if last_due_s is None or self._costs.total_s(ahead + self._queue.waiting(lane)) <= last_due_s - now_s:
                ahead += self._queue.waiting(lane)
                continue
            for job in self._queue.jobs(lane):
                if self._costs.total_s(ahead + job.left) <= job.due_s - now_s:
                    ahead += job.left
                    continue
                self._queue.remove(job)
                if not job.future.done():
                    self._dropped += 1
                    job.future.set_exception(OverloadedError(f"{ahead} views are ahead, and passes take longer now"))

    async def _run(self, current: _StagedBatch[Item, Outcome]) -> list[Outcome | Exception]:
        """One outcome per item; an item that fails by itself has its exception as outcome."""
        size = len(current.batch)
        self._pass_started_s, self._pass_expected_s = self._clock(), self._costs.pass_s(size)
        try:
            if current.failure is not None:
                raise current.failure
            outcomes = await self._run_pass(current.staged)
            if len(outcomes) != size:
                raise RuntimeError(f"a pass of {size} items gave {len(outcomes)} outcomes")
        except Exception as error:
            if size == 1:
                return [error]
            if isinstance(error, DeviceMemoryError):
                self._costs.limit_to(size // 2)
            halves = (current.batch[: size // 2], current.batch[size // 2 :])
            return [outcome for half in halves for outcome in await self._run(await self._staged(half))]
        else:
            self._costs.observe(size, self._clock() - self._pass_started_s)
            self._passes += 1
            self._items += size
            return list(outcomes)
        finally:
            self._pass_started_s = None
