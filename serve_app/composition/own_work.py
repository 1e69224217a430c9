"""What the service does on its own account, beside its answers: rescans, hunts, and notices to admins."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from serve_app.domain import (
    ConfigurationError,
    Deadline,
    DecisionFilter,
    NotScannedError,
    SettingsError,
    UnscannedReason,
    in_words,
)
from serve_app.domain.workers import DISTRUST, Doubt, WorkersHealth, WorkersView, doubts_in
from serve_app.ledger import OpenLedger
from serve_app.lists.asking import in_thread
from serve_app.lists.live import LiveLists
from serve_app.logs import EventLogger
from serve_app.moderation import Moderator
from serve_app.notices.addresses import addresses
from serve_app.notices.facts import DoubtedScores, HuntedPictures, SuspendedEntry
from serve_app.notices.reporter import Reporter
from serve_app.notices.sending import HOW_TO_INSTALL, AppriseProcess, Sender
from serve_app.purges import PURGE
from serve_app.settings import Settings
from serve_app.storage.hunt.audit import latest_outcome
from serve_app.storage.hunt.in_service import hunting
from serve_app.storage.in_service import rescanning

logger = EventLogger(__name__)

_READY_WITHIN_S: Final = 3.0

_RECENTLY: Final = timedelta(minutes=1)

_HUNTED_WITHIN: Final = timedelta(days=2)

_MOST_SUSPENDED: Final = 1000


@contextlib.asynccontextmanager
async def own_work(
    settings: Settings,
    moderator: Moderator,
    ledger: OpenLedger,
    lists: LiveLists,
    workers: WorkersView | None = None,
    came_back: asyncio.Event | None = None,
) -> AsyncIterator[None]:
    """For as long as the block, do all of it.

    ``workers`` are those elsewhere, None where there can be none; ``came_back`` is set when there is somebody again who
    scans.
    """
    async with (
        rescanning(settings, moderator, ledger, lists, came_back),
        hunting(settings, moderator.policies, ledger, lists),
        noticing(settings, moderator, ledger, lists, workers=workers),
    ):
        yield


@contextlib.asynccontextmanager
async def noticing(
    settings: Settings,
    moderator: Moderator,
    ledger: OpenLedger,
    lists: LiveLists,
    sender: Sender | None = None,
    workers: WorkersView | None = None,
) -> AsyncIterator[None]:
    """For as long as the block, send notices, if the environment says where to."""
    variable = settings.notices.urls_env
    try:
        is_wanted = bool(addresses(variable))
    except SettingsError as error:
        logger.error("notices_impossible", f"no notice is sent: {error}", why=str(error))
        is_wanted = False
    if not is_wanted:
        yield
        return
    if sender is None and not AppriseProcess.is_possible():
        # A service that scans is worth more than one that refuses to start.
        text = f"{variable} is set, but no notice is sent: {HOW_TO_INSTALL}"
        logger.error("notices_impossible", text, why=HOW_TO_INSTALL)
        yield
        return
    watched = WatchedService(moderator, ledger, lists, workers=workers)
    reporter = Reporter(settings, ledger, watched, sender or AppriseProcess(), lambda: addresses(variable))
    running = asyncio.create_task(reporter.run(), name="notices")
    problem = ""
    try:
        yield
    except Exception as error:
        problem = in_words(error)
        raise
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if problem:
            await reporter.tell_end(problem)
        await reporter.release()


class WatchedService:
    """:class:`serve_app.notices.reporter.Watched` over the parts of a service."""

    def __init__(
        self,
        moderator: Moderator,
        ledger: OpenLedger,
        lists: LiveLists,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        workers: WorkersView | None = None,
    ) -> None:
        self._moderator = moderator
        self._workers = workers
        self._doubts: dict[Doubt, DoubtedScores] = {}
        self._ledger = ledger
        self._lists = lists
        self._wall_clock = wall_clock

    async def scanner_problem(self) -> str | None:
        """See the port. Decoders are not asked: what they leave undone is in the ledger, of all replicas."""
        try:
            await self._moderator.ready(Deadline.after(_READY_WITHIN_S))
        except (NotScannedError, ConfigurationError) as error:
            return str(error)
        now = self._wall_clock()
        recent = await self._ledger.tally(now - _RECENTLY, now)
        unavailable = sum(each.count for each in recent if each.reason == UnscannedReason.UNAVAILABLE)
        is_scanning = any(each.examined for each in recent)
        if not unavailable or is_scanning:
            return None
        return f"a model is warm, but pictures of the last minute were answered as unavailable: {unavailable:,}"

    async def suspended(self) -> Sequence[SuspendedEntry]:
        """See the port."""
        store = self._lists.store
        found = await in_thread(lambda: store.page(is_suspended=True, limit=_MOST_SUSPENDED))
        return [SuspendedEntry(each.id, each.bank, each.suspended_at) for each in found if each.suspended_at]

    async def hunted(self) -> HuntedPictures | None:
        """See the port. The service says every day what is left."""
        latest = await latest_outcome(self._ledger, self._wall_clock() - _HUNTED_WITHIN)
        return None if latest is None else HuntedPictures(latest.at, latest.purged, latest.left)

    def over_quota(self) -> Mapping[str, int]:
        """See the port."""
        return self._moderator.over_quota

    async def purged_since(self, since: datetime) -> int:
        """See the port. As the quota counts them: a picture once."""
        entries = await self._ledger.audited(PURGE, since)
        named = {each.detail["sha256"] for each in entries if "sha256" in each.detail}
        return len(named) + sum("sha256" not in each.detail for each in entries)

    async def workers(self) -> WorkersHealth | None:
        """See the port."""
        return None if self._workers is None else await self._workers.health()

    async def doubts_since(self, since: datetime) -> Sequence[DoubtedScores]:
        """See the port. The decisions of each are counted once: many may have to be read for it."""
        if self._workers is None:
            return ()
        doubts = doubts_in(await self._ledger.audited(DISTRUST, since))
        self._doubts = {each: self._doubts.get(each) or await self._counted(each) for each in doubts}
        return tuple(self._doubts.values())

    async def _counted(self, doubt: Doubt) -> DoubtedScores:
        of_each = dict.fromkeys(doubt.workers, 0)
        if doubt.since is not None:
            for name in of_each:
                of_each[name] = await self._ledger.count(DecisionFilter(worker=name, since=doubt.since))
        return DoubtedScores(doubt.at, doubt.since, doubt.why, of_each)
