"""The whole application in one process, and decode workers beside it: for a server that has no room for Ray.

The event loop answers HTTP, moderates and forms batches; the engine computes in a thread of its own, and workers that
can be killed decode. It listens at once: pictures that arrive while the model loads wait for it within their deadline,
and later ones are refused as *unavailable*.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import uvicorn

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Examination,
    ModelIdentity,
    UnavailableError,
)
from serve_app.http import create_app
from serve_app.http.guard import Guard
from serve_app.media.workers import DecodeWorkers
from serve_app.models.agreement import PolicyReference
from serve_app.moderation import AdmissionControl, Pipeline, assemble_moderator
from serve_app.policy import Policy
from serve_app.process import return_large_memory, set_up_process
from serve_app.scoring import EngineScorer
from serve_app.settings import Settings

logger = logging.getLogger(__name__)

_CHECK_EVERY_S = 1.0

# pict-rs's client keeps idle connections for 90 s; it should be the one that closes them.
_KEEP_ALIVE_S = 95

# Beyond the deadline: for the last answers to be written.
_DRAIN_MARGIN_S = 1.0


class Stages:
    """The two stages of this process, warm: decode workers and an engine. Close them after use."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        """Blocks until both are warm.

        Raises:
            ConfigurationError: the model cannot be had, or there are no decoders.
            UnavailableError: a decode worker does not start.
        """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = DecodeWorkers(
            settings.limits.within(settings.deadline_s),
            settings.decode_workers or cores,
            on_truncated=settings.truncated,
        )
        try:
            reference = PolicyReference(settings.policy, policy.digest)
            self.scorer = EngineScorer(settings.model, policy.labels, reference, settings.deadline_s)
        except BaseException:
            self.workers.close()
            raise

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: no decode worker can be started, batching has ended, or the device is stuck.
        """
        self.workers.require_alive()
        self.scorer.require_alive()

    async def close(self) -> None:
        """End both; whoever waits for them is answered that they are not there."""
        self.workers.close()
        await self.scorer.close()


class StartingExaminer:
    """:class:`serve_app.domain.Examiner` whose stages are still starting; afterwards, a pipeline over them."""

    def __init__(self, demand: Callable[[], float]) -> None:
        self._demand = demand
        self._pipeline: asyncio.Future[Pipeline] = asyncio.get_running_loop().create_future()

    def started(self, stages: Stages) -> None:
        """From now on ``stages`` examine."""
        self._pipeline.set_result(Pipeline(stages.workers, stages.scorer, self._demand))

    @property
    def model(self) -> ModelIdentity | None:
        """See the port."""
        return self._pipeline.result().model if self._pipeline.done() else None

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        return await (await self._until_started(deadline)).identify(deadline)

    async def examine(self, body: Body, call: Call) -> Examination:
        """See the port."""
        return await (await self._until_started(call.deadline)).examine(body, call)

    async def _until_started(self, deadline: Deadline) -> Pipeline:
        if not self._pipeline.done():
            try:
                async with asyncio.timeout(deadline.require("the start of the service")):
                    return await asyncio.shield(self._pipeline)
            except TimeoutError as error:
                raise UnavailableError("the service is starting: its model is not loaded yet") from error
        return self._pipeline.result()


class _Server(uvicorn.Server):
    """Leaves the signals to whoever starts it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving(server: _Server, sockets: list[socket.socket], stop: asyncio.Event) -> AsyncIterator[None]:
    """HTTP is answered for as long as the block; then the pictures inside are, and the port is closed."""
    serving = asyncio.create_task(server.serve(sockets))
    serving.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def serve(
    settings: Settings,
    policy: Policy,
    guard: Guard,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    on_ready: Callable[[ModelIdentity, float], None] = lambda identity, ready_after_s: None,
    on_alive: Callable[[], None] = lambda: None,
) -> None:
    """Serve until ``stop``; then answer what is inside.

    Args:
        settings: of the application.
        policy: that belongs to their model.
        guard: who may ask.
        sockets: bound, and listening from now on.
        stop: ends it.
        on_ready: called once, in a thread, when the model is warm: which it is, and the seconds since the start. What
            it raises ends the service.
        on_alive: called about every second while all is well.

    Raises:
        ConfigurationError: the model cannot be had, or is not the policy's.
        UnavailableError: a part of the service has ended or is stuck, and only a new process helps.
    """
    began_s = time.monotonic()
    set_up_process()
    return_large_memory()
    admission = AdmissionControl(settings.deadline_s)
    examiner = StartingExaminer(lambda: admission.demand)
    moderator = assemble_moderator(settings, policy, examiner, admission)
    server = _Server(
        uvicorn.Config(
            create_app(moderator, guard, settings),
            log_config=None,
            access_log=False,  # the path holds the secret
            server_header=False,
            proxy_headers=False,  # an address that a header tells is nobody's
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.deadline_s + _DRAIN_MARGIN_S),
        )
    )
    stages: Stages | None = None
    try:
        async with _serving(server, list(sockets), stop):
            stages = await _started(settings, policy, stop)
            if stages is not None:
                examiner.started(stages)
                identity = await moderator.ready(Deadline.after(settings.deadline_s))
                await asyncio.to_thread(on_ready, identity, time.monotonic() - began_s)
                await _watch(stages, stop, on_alive)
    finally:
        if stages is not None:
            await stages.close()


async def _started(settings: Settings, policy: Policy, stop: asyncio.Event) -> Stages | None:
    """The stages, warm; None if ``stop`` comes first."""
    loop = asyncio.get_running_loop()
    starting: asyncio.Future[Stages] = loop.create_future()

    def tell(outcome: Stages | BaseException) -> None:
        if starting.done():
            return
        if isinstance(outcome, BaseException):
            starting.set_exception(outcome)
        else:
            starting.set_result(outcome)

    def start() -> None:
        outcome: Stages | BaseException
        try:
            outcome = Stages(settings, policy)
        except BaseException as error:
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all interest
            loop.call_soon_threadsafe(tell, outcome)

    # Nobody can interrupt a download or a load; a thread that is no daemon would keep the process for as long.
    threading.Thread(target=start, name="starting", daemon=True).start()
    stopping = asyncio.create_task(stop.wait())
    either: set[asyncio.Future[Any]] = {starting, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return starting.result() if starting.done() else None


async def _watch(stages: Stages, stop: asyncio.Event, on_alive: Callable[[], None]) -> None:
    while not stop.is_set():
        stages.require_alive()
        on_alive()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_EVERY_S):
                await stop.wait()
