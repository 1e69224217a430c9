"""The whole application in one process, and decode workers beside it: for a server that has no room for Ray.

The event loop answers HTTP, moderates and forms batches; the engine computes in a thread of its own, and workers that
can be killed decode. It answers from the start: pictures that arrive before the model is loaded are refused at once as
*unavailable*.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from serve_app.database.location import Location, locate
from serve_app.decoding import detector_for
from serve_app.domain import Body, Call, Deadline, Examination, ModelIdentity, UnavailableError, needs_faces
from serve_app.http import create_app
from serve_app.http.admin import create_admin_app
from serve_app.http.admin_listener import ANSWER_WITHIN_S, DRAIN_S
from serve_app.http.guard import Guard
from serve_app.http.metrics_listener import ANSWER_WITHIN_S as METRICS_WITHIN_S
from serve_app.http.metrics_listener import DRAIN_S as METRICS_DRAIN_S
from serve_app.http.server import serving, serving_beside
from serve_app.ledger import OpenLedger, open_ledger
from serve_app.limits import MediaLimits
from serve_app.lists.live import LiveLists
from serve_app.lists.opening import open_lists
from serve_app.media import require_decoders
from serve_app.media.workers import DecodeWorkers
from serve_app.metrics import FrontMetrics, page_app, page_text, watch_decoding, watch_scoring
from serve_app.models.agreement import PolicyReference
from serve_app.moderation import (
    Moderator,
    Pipeline,
    admission_of,
    assemble_detector,
    assemble_moderator,
    label_sets,
)
from serve_app.moderation.assembly import NO_POLICIES
from serve_app.moderation.sinks import Budgets
from serve_app.policy import Policy, heads_of
from serve_app.process import return_freed_memory
from serve_app.scoring import EngineScorers
from serve_app.settings import Settings

T = TypeVar("T")

_CHECK_EVERY_S = 1.0

# Where no caller waits for an answer, a busy disk makes a scan slower, and no decision is lost.
_COMMIT_WAIT_WITHOUT_CALLERS_S = 10.0
_BUDGETS_WITHOUT_CALLERS = Budgets(recall_s=10.0, sink_s=2 * _COMMIT_WAIT_WITHOUT_CALLERS_S)

_MEMORY_RETURNED_EVERY_S = 10.0


class Stages:
    """The two stages of this process, warm: decode workers and an engine. Close them after use."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        shadow: Policy | None = None,
        of_sources: Mapping[str, Policy] = NO_POLICIES,
    ) -> None:
        """Blocks until both are warm. ``of_sources`` are the policies of sources that have their own.

        Raises:
            ConfigurationError: a decoder is missing, or the model cannot be had.
            UnavailableError: a decode worker does not start.
        """
        require_decoders()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        sets = label_sets(settings, policy, shadow, of_sources)
        self.workers = DecodeWorkers(
            settings.limits.within(settings.deadline_s),
            settings.decode_workers or cores,
            on_truncated=settings.truncated,
            detector=detector_for(tuple(chain.from_iterable(sets)), settings.model.cache_folder),
        )
        try:
            heads = heads_of(policy, shadow, *of_sources.values())
            reference = PolicyReference(settings.policy_source, policy.digest, heads)
            self.scorers = EngineScorers(settings.model, sets, reference, settings.deadline_s)
        except BaseException:
            self.workers.close()
            raise

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: no decode worker can be started, batching has ended, or the device is stuck.
        """
        self.workers.require_alive()
        self.scorers.require_alive()

    async def close(self) -> None:
        """End both; pictures that wait for them are answered that they are not there."""
        self.workers.close()
        await self.scorers.close()


class StartingExaminer:
    """:class:`serve_app.domain.Examiner` that has no stages yet; once it has, a pipeline over them."""

    def __init__(self, labels: tuple[str, ...], demand: Callable[[], float] = lambda: 1.0) -> None:
        """``labels`` are one of the sets that will be scored; ``demand`` is as in :class:`Pipeline`."""
        self._labels = labels
        self._demand = demand
        self._pipeline: Pipeline | None = None

    def started(self, stages: Stages) -> None:
        """From now on ``stages`` examine."""
        scorer = stages.scorers.of(self._labels)
        self._pipeline = Pipeline(stages.workers, scorer, self._demand, with_faces=any(map(needs_faces, self._labels)))

    @property
    def model(self) -> ModelIdentity | None:
        """See the port."""
        return self._pipeline.model if self._pipeline else None

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        return await self._started().identify(deadline)

    async def examine(self, body: Body, call: Call) -> Examination:
        """See the port."""
        return await self._started().examine(body, call)

    def _started(self) -> Pipeline:
        if self._pipeline is None:
            raise UnavailableError("the service is starting: its model is not loaded yet")
        return self._pipeline


@dataclass(frozen=True, slots=True)
class Sockets:
    """Those that listen, for scans, the admin API and the metrics; :func:`serve` closes them."""

    scan: Sequence[socket.socket]
    admin: Sequence[socket.socket] = ()
    metrics: Sequence[socket.socket] = ()


Beside = Callable[[Settings, Moderator, OpenLedger, LiveLists], contextlib.AbstractAsyncContextManager[None]]
"""Work that the service does on its own account, for as long as the block."""


async def serve(  # noqa: PLR0913, PLR0917 - each is a part of its own
    settings: Settings,
    policy: Policy,
    guard: Guard,
    sockets: Sockets,
    stop: asyncio.Event,
    on_ready: Callable[[ModelIdentity, float], None] = lambda identity, ready_after_s: None,
    on_alive: Callable[[], None] = lambda: None,
    shadow: Policy | None = None,
    beside: Beside = lambda settings, moderator, ledger, lists: contextlib.nullcontext(),
    of_sources: Mapping[str, Policy] = NO_POLICIES,
) -> None:
    """Serve until ``stop``; then answer what is inside.

    Args:
        settings: of the application.
        policy: that belongs to their model.
        guard: who may ask.
        sockets: that listen.
        stop: ends it. Set when it ends by itself, before what is inside is answered.
        on_ready: called once, in a thread, when the model is warm: which it is, and the seconds since the start. What
            it raises ends the service.
        on_alive: called about every second while all is well.
        shadow: a policy on trial.
        beside: work of the service's own, until ``stop``. It begins before the model is loaded.
        of_sources: the policies of sources that have their own, by name.

    Raises:
        ConfigurationError: the ledger or the lists cannot be used, or the model cannot be had, or is not the policy's.
        UnavailableError: a part of the service has ended or is stuck, and only a new process helps.
    """
    began_s = time.monotonic()
    location = locate(settings.ledger)
    opened = await _unless_stopped(stop, lambda: _open_records(location, settings.limits), _close_records)
    if opened is None:
        return
    ledger, lists = opened
    admission = admission_of(settings)
    examiners: list[StartingExaminer] = []

    def examiner_of(labels: tuple[str, ...]) -> StartingExaminer:
        examiners.append(StartingExaminer(labels, lambda: admission.demand))
        return examiners[-1]

    metrics = FrontMetrics() if sockets.metrics else None
    moderator = assemble_moderator(
        *(settings, policy, examiner_of, ledger, admission, shadow, lists, of_sources), metrics=metrics
    )
    detector = assemble_detector(settings, examiner_of, admission)
    app = create_app(moderator, guard, settings, detector=detector, metrics=metrics)
    async with (
        contextlib.AsyncExitStack() as after_the_answers,
        serving(app, settings.deadline_s, sockets.scan, stop),
        contextlib.AsyncExitStack() as until_stop,
    ):
        after_the_answers.callback(ledger.close)
        lists.start()
        after_the_answers.callback(lists.close)
        if sockets.admin:
            admin_app = create_admin_app(guard, ledger, lists.store, settings, moderator.moderate)
            listening = serving_beside("admin", admin_app, ANSWER_WITHIN_S, sockets.admin, stop, DRAIN_S)
            await after_the_answers.enter_async_context(listening)
        if metrics is not None:
            await after_the_answers.enter_async_context(_telling(metrics, ledger, sockets.metrics, stop))
        await until_stop.enter_async_context(beside(settings, moderator, ledger, lists))
        stages = await _unless_stopped(
            stop, lambda: Stages(settings, policy, shadow, of_sources), lambda late: late.workers.close()
        )
        if stages is None:
            return
        after_the_answers.push_async_callback(stages.close)
        for examiner in examiners:
            examiner.started(stages)
        if metrics is not None:
            watch_decoding(metrics.registry, stages.workers)
            watch_scoring(metrics.registry, stages.scorers)
        identity = await moderator.ready(Deadline.after(settings.deadline_s))
        await _unless_stopped(stop, lambda: on_ready(identity, time.monotonic() - began_s))
        async with returning_memory():
            await watch(stages.require_alive, stop, on_alive)


@contextlib.asynccontextmanager
async def moderating(
    settings: Settings,
    policy: Policy,
    shadow: Policy | None = None,
    of_sources: Mapping[str, Policy] = NO_POLICIES,
) -> AsyncIterator[Moderator]:
    """The whole chain without HTTP, warm, for a command that scans by itself; its decisions are recorded.

    Raises:
        ConfigurationError: as :func:`serve`.
        UnavailableError: a part of it does not start; or one has ended or is stuck, which cancels the block.
    """
    examiners: list[StartingExaminer] = []

    def examiner_of(labels: tuple[str, ...]) -> StartingExaminer:
        examiners.append(StartingExaminer(labels))
        return examiners[-1]

    async with contextlib.AsyncExitStack() as opened:
        location = locate(settings.ledger)
        ledger, lists = await _unless_cancelled(
            lambda: _open_records(location, settings.limits, _COMMIT_WAIT_WITHOUT_CALLERS_S), _close_records
        )
        opened.callback(ledger.close)
        lists.start()
        opened.callback(lists.close)
        admission = admission_of(settings)
        moderator = assemble_moderator(
            *(settings, policy, examiner_of, ledger, admission, shadow, lists, of_sources),
            budgets=_BUDGETS_WITHOUT_CALLERS,
        )
        stages = await _unless_cancelled(
            lambda: Stages(settings, policy, shadow, of_sources), lambda late: late.workers.close()
        )
        opened.push_async_callback(stages.close)
        for examiner in examiners:
            examiner.started(stages)
        await moderator.ready(Deadline.after(settings.deadline_s))
        await opened.enter_async_context(returning_memory())
        await opened.enter_async_context(_while_alive(stages.require_alive))
        yield moderator


def _open_records(
    location: Location | None, limits: MediaLimits, commit_wait_s: float | None = None
) -> tuple[OpenLedger, LiveLists]:
    ledger = open_ledger(location, limits, commit_wait_s)
    try:
        return ledger, open_lists(location)
    except BaseException:
        ledger.close()
        raise


def _close_records(records: tuple[OpenLedger, LiveLists]) -> None:
    for each in records:
        each.close()


@contextlib.asynccontextmanager
async def _telling(
    metrics: FrontMetrics, ledger: OpenLedger, sockets: Sequence[socket.socket], stop: asyncio.Event
) -> AsyncIterator[None]:
    """Whoever asks is told the metrics, for as long as the block."""
    with contextlib.closing(metrics):
        page = page_app(lambda: page_text(metrics.registry))
        listening = serving_beside("metrics", page, METRICS_WITHIN_S, sockets, stop, METRICS_DRAIN_S)
        async with metrics.watching(ledger), listening:
            yield


@contextlib.asynccontextmanager
async def returning_memory() -> AsyncIterator[None]:
    """Give freed memory back now and then: that of large bodies is in pieces that the next does not fit into."""

    async def return_memory() -> None:
        while True:
            await asyncio.sleep(_MEMORY_RETURNED_EVERY_S)
            await asyncio.to_thread(return_freed_memory)

    returning = asyncio.create_task(return_memory(), name="returning memory")
    try:
        yield
    finally:
        returning.cancel()
        await asyncio.gather(returning, return_exceptions=True)


async def watch(require_alive: Callable[[], None], stop: asyncio.Event, on_alive: Callable[[], None]) -> None:
    """Until ``stop``: about every second, have ``on_alive`` told that ``require_alive`` did not raise."""
    while not stop.is_set():
        require_alive()
        on_alive()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_EVERY_S):
                await stop.wait()


@contextlib.asynccontextmanager
async def _while_alive(require_alive: Callable[[], None]) -> AsyncIterator[None]:
    """Cancel the block as soon as ``require_alive`` raises, which is then what the block has raised."""
    task = asyncio.current_task()
    failure: UnavailableError | None = None

    async def check() -> None:
        nonlocal failure
        try:
            await watch(require_alive, asyncio.Event(), lambda: None)
        except UnavailableError as error:
            failure = error
            if task is not None:
                task.cancel()

    checking = asyncio.create_task(check(), name="watching the stages")
    try:
        yield
    except asyncio.CancelledError:
        if failure is None or (task is not None and task.uncancel()):
            raise
        raise failure from None
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)


async def _unless_cancelled(work: Callable[[], T], discard: Callable[[T], None]) -> T:
    """What ``work`` returns or raises, in a thread that nothing waits for once this is cancelled, as below."""
    pending = _begin(work)
    try:
        return await asyncio.wrap_future(pending)
    except asyncio.CancelledError:
        _discard_late(pending, discard)
        raise


async def _unless_stopped(
    stop: asyncio.Event, work: Callable[[], T], discard: Callable[[T], None] = lambda late: None
) -> T | None:
    """What ``work`` returns or raises, in a thread; None if ``stop`` comes first: ``discard`` then has the result."""
    pending = _begin(work)
    done = asyncio.wrap_future(pending)
    stopping = asyncio.create_task(stop.wait())
    is_taken = False
    try:
        either: set[asyncio.Future[Any]] = {done, stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        is_taken = done.done()
        return done.result() if is_taken else None
    finally:
        stopping.cancel()
        done.cancel()
        if not is_taken:
            _discard_late(pending, discard)


def _begin(work: Callable[[], T]) -> concurrent.futures.Future[T]:
    """Have ``work`` done in a thread.

    Nobody can interrupt a download, a load or a line to a terminal that stands still. So the thread is a daemon, and
    none of an executor's: a process waits for those before it ends.
    """
    pending: concurrent.futures.Future[T] = concurrent.futures.Future()
    pending.set_running_or_notify_cancel()  # so that whoever no longer waits for it does not cancel it

    def run() -> None:
        try:
            pending.set_result(work())
        except BaseException as error:
            pending.set_exception(error)

    threading.Thread(target=run, daemon=True, name="starting").start()
    return pending


def _discard_late(pending: concurrent.futures.Future[T], discard: Callable[[T], None]) -> None:
    def discard_result(ended: concurrent.futures.Future[T]) -> None:
        if ended.exception() is None:
            discard(ended.result())

    pending.add_done_callback(discard_result)
