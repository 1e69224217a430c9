"""The whole application in one process, and decode workers beside it: for a server that has no room for Ray.

The event loop answers HTTP, moderates and forms batches; the engine computes in a thread of its own, and workers that
can be killed decode. It answers from the start: pictures that arrive before the model is loaded are refused at once as
*unavailable*.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from serve_app.composition.front import Front
from serve_app.composition.local_stages import (
    Stages,
    StartingExaminer,
    close_records,
    open_records,
    returning_memory,
    watch,
)
from serve_app.composition.scoring import EngineScorers
from serve_app.concurrency.abandonable import unless_stopped
from serve_app.database.location import locate
from serve_app.domain import Deadline, ModelIdentity
from serve_app.domain.workers import WorkersView
from serve_app.http import create_app
from serve_app.http.admin import create_admin_app
from serve_app.http.admin_listener import ANSWER_WITHIN_S, DRAIN_S
from serve_app.http.guard import Guard
from serve_app.http.metrics_listener import ANSWER_WITHIN_S as METRICS_WITHIN_S
from serve_app.http.metrics_listener import DRAIN_S as METRICS_DRAIN_S
from serve_app.http.server import serving, serving_beside
from serve_app.ledger import OpenLedger
from serve_app.lists.live import LiveLists
from serve_app.metrics import FrontMetrics, page_app, page_text, watch_decoding, watch_scoring, watch_workers
from serve_app.moderation import Moderator, admission_of, assemble_detector, assemble_moderator, label_sets
from serve_app.policy import Policies
from serve_app.remote.arrival import once_there_are_workers
from serve_app.remote.requirements import heads_to_send
from serve_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Sockets:
    """Those that listen, for scans, the admin API, the metrics and workers; :func:`serve` closes them."""

    scan: Sequence[socket.socket]
    admin: Sequence[socket.socket] = ()
    metrics: Sequence[socket.socket] = ()
    worker: Sequence[socket.socket] = ()


Beside = Callable[
    [Settings, Moderator, OpenLedger, LiveLists, WorkersView | None], contextlib.AbstractAsyncContextManager[None]
]
"""Work that the service does on its own account, for as long as the block."""


async def serve(  # noqa: PLR0913, PLR0917 - each is a part of its own
    settings: Settings,
    policies: Policies,
    guard: Guard,
    sockets: Sockets,
    stop: asyncio.Event,
    on_ready: Callable[[ModelIdentity, float], None] = lambda identity, ready_after_s: None,
    on_alive: Callable[[], None] = lambda: None,
    beside: Beside = lambda settings, moderator, ledger, lists, workers: contextlib.nullcontext(),
    on_waiting: Callable[[], None] = lambda: None,
    came_back: asyncio.Event | None = None,
) -> None:
    """Serve until ``stop``; then answer what is inside.

    Args:
        settings: of the application.
        policies: that belong to their model.
        guard: who may ask.
        sockets: that listen.
        stop: ends it. Set when it ends by itself, before what is inside is answered.
        on_ready: called once, in a thread, when the model is warm: which it is, and the seconds since the start. What
            it raises ends the service.
        on_alive: called about every second while all is well.
        beside: work of the service's own, until ``stop``. It begins before the model is loaded.
        on_waiting: called once, in a thread, when all is there but a worker, where workers elsewhere score.
        came_back: set whenever the first of these comes, after none was there.

    Raises:
        ConfigurationError: the ledger or the lists cannot be used, or the model cannot be had, or is not the policy's.
        UnavailableError: a part of the service has ended or is stuck, and only a new process helps.
    """
    began_s = time.monotonic()
    location = locate(settings.ledger)
    opened = await unless_stopped(stop, lambda: open_records(location, settings.limits), close_records)
    if opened is None:
        return
    ledger, lists = opened
    front = _front_of(settings, policies, guard, opened, came_back or asyncio.Event())
    workers = None if front is None else front.record
    admission = admission_of(settings)
    examiners: list[StartingExaminer] = []

    def examiner_of(labels: tuple[str, ...]) -> StartingExaminer:
        examiners.append(StartingExaminer(labels, lambda: admission.demand))
        return examiners[-1]

    metrics = FrontMetrics() if sockets.metrics else None
    moderator = assemble_moderator(
        *(settings, policies, examiner_of, ledger, admission, lists),
        metrics=metrics,
        stand_ins=front.stand_ins(examiner_of) if front is not None else (),
    )
    detector = assemble_detector(settings, examiner_of, admission)
    app = create_app(moderator, guard, settings, detector=detector, metrics=metrics)
    async with (
        contextlib.AsyncExitStack() as after_the_answers,
        serving(app, settings.deadline_s, sockets.scan, stop),
        contextlib.AsyncExitStack() as until_stop,
    ):
        after_the_answers.callback(ledger.close)
        after_the_answers.callback(_close, sockets.worker)  # nobody listens on them before the stages are warm
        lists.start()
        after_the_answers.callback(lists.close)
        if sockets.admin:
            admin_app = create_admin_app(guard, ledger, lists.store, settings, moderator.moderate, workers)
            listening = serving_beside("admin", admin_app, ANSWER_WITHIN_S, sockets.admin, stop, DRAIN_S)
            await after_the_answers.enter_async_context(listening)
        if metrics is not None:
            await after_the_answers.enter_async_context(_telling(metrics, ledger, sockets.metrics, stop))
        await until_stop.enter_async_context(beside(settings, moderator, ledger, lists, workers))
        stages = await unless_stopped(
            stop,
            lambda: Stages(settings, policies, front.open_scorers() if front is not None else None),
            lambda late: late.workers.close(),
        )
        if stages is None:
            return
        after_the_answers.push_async_callback(stages.close)
        for examiner in examiners:
            examiner.started(stages, front.bodies_of if front is not None else lambda labels: None)
        if metrics is not None:
            watch_decoding(metrics.registry, stages.workers)
            _watch_scorers(metrics, stages, front)

        async def tell_ready() -> None:
            identity = await moderator.ready(Deadline.after(settings.deadline_s))
            await unless_stopped(stop, lambda: on_ready(identity, time.monotonic() - began_s))

        async with contextlib.AsyncExitStack() as until_the_end:
            if front is not None:
                await after_the_answers.enter_async_context(front.taking_workers(sockets.worker, stages.workers))
                await unless_stopped(stop, on_waiting)
            if front is None or front.scores_alone:
                await tell_ready()
            else:
                await until_the_end.enter_async_context(once_there_are_workers(front.fleet, tell_ready, stop))
            await until_the_end.enter_async_context(returning_memory())
            await watch(functools.partial(_require_alive, stages, front), stop, on_alive)


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _front_of(
    settings: Settings,
    policies: Policies,
    guard: Guard,
    records: tuple[OpenLedger, LiveLists],
    came_back: asyncio.Event,
) -> Front | None:
    """The front, if workers elsewhere score; ``records`` are closed if there cannot be one."""
    if settings.remote is None:
        return None
    sets = label_sets(settings, policies)
    try:
        heads = heads_to_send(policies.heads)
        return Front(settings, guard, sets, policies.deciding, came_back, records[0], heads)
    except BaseException:
        close_records(records)
        raise


def _require_alive(stages: Stages, front: Front | None) -> None:
    stages.require_alive()
    if front is not None:
        front.require_alive()


def _watch_scorers(metrics: FrontMetrics, stages: Stages, front: Front | None) -> None:
    if front is not None:
        watch_workers(metrics.registry, front.record, front.trust_record)
    if isinstance(stages.scorers, EngineScorers):
        watch_scoring(metrics.registry, stages.scorers)


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
