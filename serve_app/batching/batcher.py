"""Late-binding, deadline-aware batching: a batch is formed at the moment the device becomes free.

Ray's own ``@serve.batch`` forms a batch first and then lets it wait for the device, so that an idle service waits for a
timeout and a busy one runs batches of one (``docs/adr/0003-late-binding-batches.md``). Here nothing is decided before
the device is free:

* an idle service never waits: the first item starts a pass at once;
* a busy service fills its batches with the items that arrived during the pass, earliest deadline first;
* a pass computes one thing: it takes the kind of the earliest deadline, and ends before that deadline, so that no kind
  keeps another one waiting for long;
* of several sources, each has its turns and its part of a full queue, however many items another one has waiting;
* a job that can never make its deadline is refused on arrival; one that can no longer make it is dropped before a pass;
  one that has become hopeless because passes take longer is refused after the pass that showed it;
* live jobs come first: a live job waits for at most the background pass that is running when it arrives;
* each job has its own outcome: a poisoned item fails its own job alone, and a caller that goes away takes its items
  with it.

A device that shares its cores with the preparation of its items waits for items that are coming, as long as the cores
have other work: a pass of one item beside the decoding of ten would take the cores from the ten, which then need
another pass. The cores may idle meanwhile for at most the time that fewer passes save.

For a device with memory of its own, the next batch is uploaded while the device computes. That batch is bound early, by
just the time that uploading takes, and only from live jobs: a bound background batch could not make way for them.

Not thread-safe: everything runs on one event loop, and only uploading and the pass itself may leave it.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serve_app.batching.device_check import DeviceCheck
from serve_app.batching.job_queue import Batch, Job, JobQueue
from serve_app.batching.pass_costs import CostsOfKinds, Kind, PassCosts
from serve_app.domain import (
    Call,
    Clock,
    DeadlineExceededError,
    DeviceMemoryError,
    Lane,
    OverloadedError,
    UnavailableError,
)
from serve_app.logs import EventLogger
from serve_app.stages import Stage, tell_stage

logger = EventLogger(__name__)

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# Sources that come to a full queue may fill it with their parts once more, as they may the service (docs/adr/0022).
_MOST_TIMES_FULL = 2

# Idle time is counted in steps of some milliseconds: to look more often would keep a core from idling.
_LEAST_LOOK_S = 0.002

Uploaded = Any
"""The result of ``upload``, and the argument of ``run_pass``."""


@dataclass(frozen=True, slots=True)
class BatcherStats:
    """Counts since the start."""

    passes_by_size: Mapping[int, int]
    dropped_jobs: int
    refused_jobs: int


@dataclass(frozen=True, slots=True)
class _UploadedBatch(Generic[Item, Outcome]):
    """A batch on its way to the device; ``failure`` is the error that kept it from there."""

    batch: Batch[Item, Outcome]
    uploaded: Uploaded = None
    failure: Exception | None = None


class Batcher(Generic[Item, Outcome]):
    """Forms batches for one device.

    ``run_pass`` takes a kind and items of it, at most as many as its largest bucket, and returns one outcome per item,
    in order. If it raises, the batch is run again in halves, so that only the item that poisons a pass fails its job.
    If the device's memory did not suffice, no later batch of the kind is larger than a half.

    ``upload``, for a device with memory of its own, takes the same while an earlier pass still runs; ``run_pass`` then
    takes its result in place of the items.

    ``check`` runs a pass of a kind that no item can spoil. It is called after some passes in a row have failed: if it
    fails too, the device is broken, and :meth:`require_alive` says so.
    """

    def __init__(
        self,
        run_pass: Callable[[Kind, Uploaded], Awaitable[Sequence[Outcome]]],
        costs: Mapping[Kind, PassCosts],
        max_queued_items: int,
        upload: Callable[[Kind, Sequence[Item]], Awaitable[Uploaded]] | None = None,
        idle_s: Callable[[], float] | None = None,
        clock: Clock = time.monotonic,
        check: Callable[[Kind], Awaitable[None]] | None = None,
    ) -> None:
        """``costs`` has those of every kind, and ``max_queued_items`` is for each lane.

        ``idle_s``, for a device that shares its cores with the preparation of items, gives the seconds that they idled.
        """
        self._run_pass = run_pass
        self._upload = upload
        self._costs = CostsOfKinds(costs)
        self._max_queued_items = max_queued_items
        self._idle_s = idle_s
        self._clock = clock
        self._device_check = DeviceCheck(check)
        self._queue: JobQueue[Item, Outcome] = JobQueue()
        self._arrived = asyncio.Event()
        self._device: asyncio.Task[None] | None = None
        self._has_ended = False  # by an error or by close
        self._unanswered: set[asyncio.Future[list[Outcome]]] = set()
        self._uploads_started_s: list[float] = []
        self._pass_started_s: float | None = None
        self._pass_expected_s = 0.0
        self._bound: Counter[Kind] = Counter()
        self._coming: dict[Kind, int] = {}
        self._passes_by_size: Counter[int] = Counter()
        self._dropped = self._refused = 0

    @property
    def stats(self) -> BatcherStats:
        """Counts since the start."""
        return BatcherStats(dict(self._passes_by_size), self._dropped, self._refused)

    @property
    def overdue_s(self) -> float:
        """Seconds by which the running pass, or uploading, is late; zero or less while all is well."""
        return max(self._pass_overdue_s, self._upload_overdue_s)

    @property
    def _pass_overdue_s(self) -> float:
        if self._pass_started_s is None:
            return 0.0
        return self._clock() - self._pass_started_s - self._pass_expected_s

    @property
    def _upload_overdue_s(self) -> float:
        if not self._uploads_started_s:
            return 0.0
        return self._clock() - min(self._uploads_started_s) - self._costs.upload_s

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: the loop that serves the device has ended, or every pass fails.
        """
        if self._has_ended:
            raise UnavailableError("batching has ended: see the log")
        if self._device_check.is_broken:
            raise UnavailableError("the device fails at every pass: see the log")

    def waiting(self, lane: Lane) -> int:
        """Items of ``lane`` that wait for a pass."""
        return sum(self._queue.waiting(lane).values())

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until the device would be free for a live item that arrived now, behind all others."""
        return self._until_free_s() + self._costs.total_s(self._queue.waiting(Lane.LIVE))

    async def submit(self, items: Sequence[Item], call: Call, coming: int = 0, kind: Kind = None) -> list[Outcome]:
        """The outcomes of ``items``, in order; they may go through the device in several passes.

        Args:
            items: of one kind.
            call: its lane and deadline count.
            coming: how many live items of the kind, at least, are being prepared elsewhere. The latest caller's number
                counts.
            kind: a key of the costs; may be left out where None is the only one.

        Raises:
            OverloadedError: at once, if the queue is full or its predicted wait is longer than the time left.
            DeadlineExceededError: the deadline can no longer be met.
            UnavailableError: batching has ended.
            Exception: as ``run_pass`` raised for one of these items alone.
        """
        if not items:
            return []
        self.require_alive()
        self._coming[kind] = coming
        is_idle = self._is_idle
        self._admit(len(items), kind, call, is_idle)
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        job = Job[Item, Outcome](
            *(call.deadline.at_s, items, future, call.lane, kind),
            came_to_idle_device=is_idle,
            source=call.source,
            share=call.share,
        )
        arrived_s = self._clock()
        self._queue.put(job)
        self._arrived.set()
        if self._device is None:
            # In a context of its own: it serves all requests, and not only the one that starts it.
            apart = contextvars.Context()
            self._device = asyncio.create_task(self._serve_device(), name="batcher", context=apart)
            self._device.add_done_callback(self._end, context=apart)
        self._unanswered.add(future)
        try:
            return await future
        except BaseException:
            # The caller went away, or an item failed: the rest of this job must not reach the device.
            self._queue.remove(job)
            raise
        finally:
            self._unanswered.discard(future)
            self._tell_stages(call, arrived_s, job.first_pass_s)

    def _tell_stages(self, call: Call, arrived_s: float, first_pass_s: float | None) -> None:
        ended_s = self._clock()
        tell_stage(Stage.BATCH_WAIT, call, arrived_s, ended_s if first_pass_s is None else first_pass_s)
        if first_pass_s is not None:
            tell_stage(Stage.SCORE_PASS, call, first_pass_s, ended_s)

    def _end(self, device: asyncio.Task[None]) -> None:
        """The device's loop has ended: by :meth:`close`, or by an error, which nobody else would see."""
        self._has_ended = True
        if not device.cancelled():
            logger.error("batching_ended", "batching has ended with an error", exc_info=device.exception())
        for future in self._unanswered:
            if not future.done():
                future.set_exception(UnavailableError("batching has ended"))

    async def close(self) -> None:
        """Stop; queued jobs, and those in the running pass, fail as unavailable."""
        if self._device is not None:
            self._device.cancel()
            await asyncio.gather(self._device, return_exceptions=True)
        self._has_ended = True

    @property
    def _is_idle(self) -> bool:
        waiting = sum(map(self.waiting, Lane))
        return self._pass_started_s is None and not self._bound and waiting == 0

    def _admit(self, items: int, kind: Kind, call: Call, is_idle: bool) -> None:
        remaining_s = call.deadline.require("scoring")
        queued = self.waiting(call.lane)
        through = self._queue.ahead_of(call.deadline.at_s, items, call.source, call.share, call.lane)
        through[kind] += items
        wait_s = self._until_free_s() + self._costs.total_s(through)
        # An idle device is always tried: after a time in which the machine stood still, it must be able to show that
        # its passes are fast again.
        is_hopeless = wait_s > remaining_s and not is_idle
        if is_hopeless or not self._has_places(items, call):
            self._refused += 1
            raise OverloadedError(f"{queued} views wait, about {wait_s:.1f} s of work; {remaining_s:.1f} s are left")

    def _has_places(self, items: int, call: Call) -> bool:
        """Whether ``items`` may wait: a full queue has places for a source that has less than its part of it."""
        waiting = self.waiting(call.lane) + items
        if waiting <= self._max_queued_items:
            return True
        own = self._queue.waiting_of(call.source, call.lane) + items
        part = self._max_queued_items * self._queue.part_of(call.source, call.share, call.lane)
        return own <= max(1.0, part) and waiting <= _MOST_TIMES_FULL * self._max_queued_items

    def _until_free_s(self) -> float:
        """Seconds until the device has done the running pass and the batch that is uploaded for it."""
        return self._pass_remaining_s() + self._costs.total_s(self._bound)

    def _pass_remaining_s(self) -> float:
        """Seconds that the running pass still takes; one that is late by x is expected to need x more."""
        return 0.0 if self._pass_started_s is None else abs(self._pass_overdue_s)

    async def _serve_device(self) -> None:
        ahead: _UploadedBatch[Item, Outcome] | None = None
        running: asyncio.Task[None] | None = None
        try:
            while True:
                current = ahead or await self._next()
                ahead = None
                self._bound.clear()
                running = asyncio.create_task(self._serve(current))
                if self._upload is not None:
                    ahead = await self._next_while(running)
                await running
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _next(self) -> _UploadedBatch[Item, Outcome]:
        """The next batch, formed as soon as there are items; the device is free."""
        while True:
            if self._idle_s is not None and self._saved_by_waiting_s() > 0.0:
                await self._gather(self._idle_s)
            batch = self._form_batch(tuple(Lane))
            if batch:
                return await self._uploaded(batch)
            self._arrived.clear()
            await self._arrived.wait()
            # Arrivals of the same iteration of the event loop belong in the same batch.
            await asyncio.sleep(0)

    async def _gather(self, idle_s: Callable[[], float]) -> None:
        """Wait until the batch holds the items that are coming, is full, or has cost the idle time that it saves.

        It waits for at most the time of a full pass, since items that are coming may be lost.
        """
        began_s, began_idle_s = self._clock(), idle_s()
        latest_s = began_s + self._costs.longest_pass_s
        while (saved_s := self._saved_by_waiting_s()) > 0.0:
            left_s = min(saved_s - (idle_s() - began_idle_s), latest_s - self._clock())
            if left_s <= 0.0:
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout(max(left_s, _LEAST_LOOK_S)):
                    await self._arrived.wait()
            except TimeoutError:
                continue  # the cores may have worked all the time
            await asyncio.sleep(0)  # arrivals of the same iteration, as for a batch of an idle device

    def _saved_by_waiting_s(self) -> float:
        """Seconds that one pass for waiting and coming live items saves over two, as far as the first can wait."""
        head = self._queue.head((Lane.LIVE,))
        if head is None:
            return 0.0
        costs, waiting = self._costs[head.kind], self._queue.waiting(Lane.LIVE)[head.kind]
        coming = min(self._coming[head.kind], costs.largest_bucket - waiting)
        if coming <= 0:
            return 0.0
        together_s = costs.pass_s(waiting + coming)
        saved_s = costs.pass_s(waiting) + costs.pass_s(coming) - together_s
        now_s = self._clock()
        return min(saved_s, self._first_due_s(head, now_s) - now_s - together_s)

    async def _next_while(self, running: asyncio.Task[None]) -> _UploadedBatch[Item, Outcome] | None:
        """The next batch of live jobs, formed as late as its uploading allows; None if the pass ends before."""
        await asyncio.sleep(0)  # the pass begins
        await asyncio.wait({running}, timeout=max(0.0, self._pass_remaining_s() - self._costs.upload_s))
        while not running.done():
            batch = self._form_batch((Lane.LIVE,), self._pass_remaining_s())
            if batch:
                self._bound[_kind_of(batch)] = len(batch)
                return await self._uploaded(batch)
            self._arrived.clear()
            arrival = asyncio.create_task(self._arrived.wait())
            try:
                await asyncio.wait({running, arrival}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()
        return None

    async def _uploaded(self, batch: Batch[Item, Outcome]) -> _UploadedBatch[Item, Outcome]:
        items, kind = [item for _, item in batch], _kind_of(batch)
        if self._upload is None:
            return _UploadedBatch(batch, items)
        started_s = self._clock()
        self._uploads_started_s.append(started_s)
        try:
            uploaded = await self._upload(kind, items)
        except Exception as error:
            return _UploadedBatch(batch, failure=error)
        finally:
            self._uploads_started_s.remove(started_s)
        self._costs[kind].observe_upload(self._clock() - started_s)
        return _UploadedBatch(batch, uploaded)

    def _form_batch(self, lanes: Sequence[Lane], starts_in_s: float = 0.0) -> Batch[Item, Outcome]:
        """The items of the pass that starts in ``starts_in_s``: earliest deadline first, in the best number.

        They are of the kind of the earliest deadline of all.

        Jobs that cannot end in time leave the queue here, before any work is spent on them.
        """
        starts_s = self._clock() + starts_in_s
        while (head := self._queue.head(lanes)) is not None:
            budget_s, costs = head.due_s - starts_s, self._costs[head.kind]
            if costs.total_s(head.left) <= budget_s:
                waiting = self._queue.waiting(head.lane)[head.kind]
                budget_s = self._first_due_s(head, starts_s) - starts_s
                return self._queue.take(costs.batch_size(waiting, budget_s), head.lane, head.kind)
            if head.came_to_idle_device and budget_s > 0:
                return self._queue.take(1, head.lane, head.kind)
            self._queue.remove(head)
            self._dropped += 1
            head.future.set_exception(DeadlineExceededError(f"{budget_s:.2f} s are left; scoring takes longer"))
        return []

    def _first_due_s(self, head: Job[Item, Outcome], starts_s: float) -> float:
        """The earliest deadline of a pass with ``head`` that can be made; each source may have items in it."""
        costs = self._costs[head.kind]
        firsts = self._queue.firsts(head.lane, head.kind)
        in_time = [each.due_s for each in firsts if costs.total_s(each.left) <= each.due_s - starts_s]
        return min([head.due_s, *in_time])

    async def _serve(self, current: _UploadedBatch[Item, Outcome]) -> None:
        outcomes = await self._run(current)
        for (job, _), outcome in zip(current.batch, outcomes, strict=True):
            job.deliver(outcome)
        self._shed()

    def _shed(self) -> None:
        """Refuse jobs that have become hopeless since they were admitted, because passes take longer now.

        They would be dropped before their pass in any case; this way their callers know before the deadline.
        """
        # A pass of tolerance, so that no job is refused right after it was admitted.
        now_s = self._clock() - self._costs.longest_pass_s
        ahead = self._bound.copy()
        for lane in Lane:
            last_due_s = self._queue.last_due_s(lane)
            all_of_lane = ahead + Counter(self._queue.waiting(lane))
            if last_due_s is None or self._costs.total_s(all_of_lane) <= last_due_s - now_s:
                ahead = all_of_lane
                continue
            for job in self._queue.jobs(lane):
                through = ahead + Counter({job.kind: job.left})
                if self._costs.total_s(through) <= job.due_s - now_s:
                    ahead = through
                    continue
                self._queue.remove(job)
                if not job.future.done():
                    self._dropped += 1
                    job.future.set_exception(
                        OverloadedError(f"{ahead.total()} views are ahead; passes take longer now")
                    )

    async def _run(self, current: _UploadedBatch[Item, Outcome]) -> list[Outcome | Exception]:
        """One outcome per item; the outcome of an item that fails by itself is its exception."""
        size, kind = len(current.batch), _kind_of(current.batch)
        costs = self._costs[kind]
        self._pass_started_s, self._pass_expected_s = self._clock(), costs.pass_s(size)
        for job, _ in current.batch:
            job.first_pass_s = self._pass_started_s if job.first_pass_s is None else job.first_pass_s
        try:
            if current.failure is not None:
                raise current.failure
            outcomes = await self._run_pass(kind, current.uploaded)
            if len(outcomes) != size:
                raise RuntimeError(f"a pass of {size} items gave {len(outcomes)} outcomes")
        except Exception as error:
            if size == 1:
                await self._device_check.failed(kind, error)
                return [error]
            if isinstance(error, DeviceMemoryError):
                costs.limit_to(size // 2)
            halves = (current.batch[: size // 2], current.batch[size // 2 :])
            return [outcome for half in halves for outcome in await self._run(await self._uploaded(half))]
        else:
            self._device_check.succeeded(kind)
            costs.observe(size, self._clock() - self._pass_started_s)
            self._passes_by_size[size] += 1
            return list(outcomes)
        finally:
            self._pass_started_s = None


def _kind_of(batch: Batch[Item, Outcome]) -> Kind:
    return batch[0][0].kind
