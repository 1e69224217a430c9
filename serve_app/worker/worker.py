"""A worker's life: connections to its front, one after the other, until it is stopped or refused for good."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from serve_app.domain import ConfigurationError
from serve_app.logs import EventLogger
from serve_app.remote.messages import Accepted, Refused
from serve_app.settings import ModelSettings
from serve_app.version import own_version
from serve_app.worker.backoff import Backoff
from serve_app.worker.client import Client
from serve_app.worker.connecting import NoFrontError, SecretRefusedError, connected
from serve_app.worker.kept_scorers import KeptScorers
from serve_app.worker.ports import ConnectionLostError, OpenedScorers, Socket

logger = EventLogger(__name__)

_CHECK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Where a worker works, and with what.

    Attributes:
        url: of the front, without a slash at its end.
        secret: that the front knows it by.
        name: of the worker.
        model: how models are run; a source in it is taken instead of what the front wants.
        decode_workers: bodies that are decoded at once; 0 takes views alone.
    """

    url: str
    secret: str = field(repr=False)
    name: str
    model: ModelSettings
    decode_workers: int = 0


Connect = Callable[[str, str], AbstractAsyncContextManager[Socket]]
"""As :func:`serve_app.worker.connecting.connected`."""


class Worker:
    """Works for one front."""

    def __init__(
        self,
        settings: WorkerSettings,
        stop: asyncio.Event,
        backoff: Backoff | None = None,
        connect: Connect = connected,
        on_alive: Callable[[], None] = lambda: None,
        on_warm: Callable[[], None] = lambda: None,
    ) -> None:
        """For the running event loop.

        Args:
            settings: of the worker.
            stop: ends it, once what it has taken is answered.
            backoff: the waits between connections.
            connect: opens a connection.
            on_alive: called about every second while all is well.
            on_warm: called in a thread, each time that models are loaded.
        """
        self._settings = settings
        self._stop = stop
        self._backoff = backoff or Backoff()
        self._connect = connect
        self._on_alive = on_alive
        self._kept = KeptScorers(settings.model, on_warm, settings.decode_workers)
        self._process = uuid.uuid4().hex
        self._was_accepted = False

    async def run(self) -> None:
        """Work until ``stop``.

        Raises:
            ConfigurationError: one side refuses the other, or the address or the secret is wrong.
            UnavailableError: the device is stuck, and only a new process helps.
        """
        working = asyncio.create_task(self._work(), name="working")
        watching = asyncio.create_task(self._watch(), name="watching")
        try:
            done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def close(self) -> None:
        """Let go of the models; waits for one that is being loaded."""
        await self._kept.close()

    async def _work(self) -> None:
        while not self._stop.is_set():
            try:
                why = await self._work_once()
            except SecretRefusedError as error:
                raise ConfigurationError(str(error)) from error
            except NoFrontError as error:
                # A front that was there is being replaced; one that never was has another address.
                if not self._was_accepted:
                    raise ConfigurationError(str(error)) from error
                why = str(error)
            except ConnectionLostError as error:
                why = str(error)
            if why is None:
                return
            wait_s = self._backoff.next_s()
            again_in_s = round(wait_s, 1)
            logger.warning("front_lost", f"{why}; trying again in {again_in_s} s", why=why, again_in_s=again_in_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()

    async def _work_once(self) -> str | None:
        """Why one connection ended; None once ``stop`` is set."""
        async with contextlib.AsyncExitStack() as opened:
            socket = await self._unless_stopped(opened)
            if socket is None:
                return None
            client = Client(
                socket,
                self._kept.open,
                self._settings.name,
                own_version(),
                self._process,
                self._stop,
                self._note_accepted,
            )
            refused = await client.run()
        if refused is None:
            if self._was_accepted:
                logger.info("front_left", f"left {self._settings.url}")
            return None
        return self._why_of(refused)

    async def _unless_stopped(self, opened: contextlib.AsyncExitStack) -> Socket | None:
        connecting = asyncio.create_task(
            opened.enter_async_context(self._connect(self._settings.url, self._settings.secret)), name="connecting"
        )
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return connecting.result() if connecting.done() else None
        finally:
            for task in (connecting, stopping):
                task.cancel()
            await asyncio.gather(connecting, stopping, return_exceptions=True)

    def _why_of(self, refused: Refused) -> str:
        text = f"refused ({refused.reason}): {refused.message}"
        if refused.reason.is_final:
            raise ConfigurationError(text)
        return text

    def _note_accepted(self, accepted: Accepted, scorers: OpenedScorers) -> None:
        self._was_accepted = True
        self._backoff.accepted()
        models = ", ".join(dict.fromkeys(str(offer.model) for offer in scorers.offers))
        per_view_ms = [round(min(s / size for size, s in offer.pass_s.items()) * 1e3, 2) for offer in scorers.offers]
        notices = dict.fromkeys(notice for offer in scorers.offers for notice in offer.model.notices)
        logger.info(
            "front_joined",
            f"works for {self._settings.url} as {accepted.worker}: {models} on {scorers.device}, "
            f"{' / '.join(map(str, per_view_ms))} ms a view{''.join(f' NOTICE: {each}' for each in notices)}",
            front=self._settings.url,
            worker=accepted.worker,
            model=models,
            device=scorers.device,
            view_ms=per_view_ms,
        )

    async def _watch(self) -> None:
        while True:
            self._kept.require_alive()
            self._on_alive()
            await asyncio.sleep(_CHECK_EVERY_S)
