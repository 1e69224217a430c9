"""The stages and the records of one process: opened, warmed and looked after."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from itertools import chain

from serve_app.composition.decoding import detector_for
from serve_app.composition.scoring import EngineScorers
from serve_app.database.location import Location
from serve_app.domain import Body, Call, Deadline, Examination, ModelIdentity, UnavailableError, needs_faces
from serve_app.domain.limits import MediaLimits
from serve_app.host.process import return_freed_memory
from serve_app.ledger import OpenLedger, open_ledger
from serve_app.lists.live import LiveLists
from serve_app.lists.opening import open_lists
from serve_app.media import require_decoders
from serve_app.media.workers import DecodeWorkers
from serve_app.models.agreement import PolicyReference
from serve_app.moderation import Pipeline, label_sets
from serve_app.moderation.pipeline import Elsewhere
from serve_app.policy import Policies
from serve_app.remote.fallback import Scorers
from serve_app.settings import Settings

_CHECK_EVERY_S = 1.0

_MEMORY_RETURNED_EVERY_S = 10.0


class Stages:
    """The two stages of this process, warm: decode workers, and scorers. Close them after use."""

    def __init__(self, settings: Settings, policies: Policies, elsewhere: Scorers | None = None) -> None:
        """Blocks until both are warm.

        ``elsewhere`` are scorers on other machines, in the place of an engine of this process.

        Raises:
            ConfigurationError: a decoder is missing, or the model cannot be had.
            UnavailableError: a decode worker does not start.
        """
        require_decoders()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        sets = label_sets(settings, policies)
        self.workers = DecodeWorkers(
            settings.limits.within(settings.deadline_s),
            settings.decode_workers or cores,
            on_truncated=settings.truncated,
            detector=detector_for(tuple(chain.from_iterable(sets)), settings.model.cache_folder),
        )
        try:
            reference = PolicyReference(settings.policy_source, policies.of_service.digest, policies.heads)
            self.scorers: EngineScorers | Scorers = elsewhere or EngineScorers(
                settings.model, sets, reference, settings.deadline_s
            )
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

    def started(
        self, stages: Stages, elsewhere_of: Callable[[tuple[str, ...]], Elsewhere | None] = lambda labels: None
    ) -> None:
        """From now on ``stages`` examine, and whoever there is elsewhere for the labels before them."""
        scorer = stages.scorers.of(self._labels)
        self._pipeline = Pipeline(
            stages.workers,
            scorer,
            self._demand,
            with_faces=any(map(needs_faces, self._labels)),
            elsewhere=elsewhere_of(self._labels),
        )

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


def open_records(
    location: Location | None, limits: MediaLimits, commit_wait_s: float | None = None
) -> tuple[OpenLedger, LiveLists]:
    """The ledger and the lists at ``location``, or in memory alone.

    Raises:
        ConfigurationError: one of them cannot be used.
    """
    ledger = open_ledger(location, limits, commit_wait_s)
    try:
        return ledger, open_lists(location)
    except BaseException:
        ledger.close()
        raise


def close_records(records: tuple[OpenLedger, LiveLists]) -> None:
    """Of :func:`open_records`."""
    for each in records:
        each.close()


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
