"""The service's own rescans: what it let through unscanned is scanned once there is time, by one of its replicas."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from serve_app.domain import (
    RESCAN_SOURCE,
    UNNAMED_SOURCE,
    Body,
    Call,
    Deadline,
    Lane,
    NotScannedError,
    RescanMode,
    SettingsError,
    in_words,
)
from serve_app.domain.archive import SERVICE
from serve_app.http.answers import answer_for_decision
from serve_app.ledger import OpenLedger
from serve_app.lists.live import LiveLists
from serve_app.logs import EventLogger
from serve_app.moderation import Moderator
from serve_app.pictrs import PictrsClient, Purger, open_pictrs
from serve_app.settings import Settings
from serve_app.storage.attempts import Attempts
from serve_app.storage.late_matches import reopen_late_matches
from serve_app.storage.leased_work import work_while_held
from serve_app.storage.pending import rescan_pending
from serve_app.storage.rescan import Finding, Rescanner, Result, Scanner
from serve_app.wire import Answer

logger = EventLogger(__name__)

LOOK_EVERY_S: Final = 60.0
"""Seconds between two looks for pending decisions."""

READY_EVERY_S: Final = 5.0
"""Seconds between two questions whether a model is warm."""

LEASE: Final = "rescan"

_HASHED_ON_THE_LOOP_BYTES: Final = 64 << 10


class OwnScanner(Scanner, Protocol):
    """A scanner that knows whether it can scan."""

    async def is_ready(self) -> bool:
        """Whether a model is warm: until then, nothing is worth fetching."""
        ...


class ModeratorScanner:
    """:class:`OwnScanner` that asks this process, in the background lane."""

    def __init__(self, moderator: Moderator, deadline_s: float) -> None:
        self._moderator = moderator
        self._deadline_s = deadline_s

    async def is_ready(self) -> bool:
        """See :class:`OwnScanner`."""
        try:
            await self._moderator.ready(Deadline.after(self._deadline_s))
        except NotScannedError:
            return False
        return True

    async def scan(self, body: bytes, of_source: str = UNNAMED_SOURCE) -> Answer:
        """The answer that a client of this source would have had."""
        # A thread takes longer to be asked than a small body to be hashed.
        hashed = Body.of(body) if len(body) <= _HASHED_ON_THE_LOOP_BYTES else await asyncio.to_thread(Body.of, body)
        call = Call(uuid.uuid4().hex, Deadline.after(self._deadline_s), Lane.BACKGROUND, RESCAN_SOURCE)
        decision = await self._moderator.moderate(hashed, call, of_source)
        _, answer = answer_for_decision(decision, decision.elapsed_ms)
        return answer


@contextlib.asynccontextmanager
async def rescanning(
    settings: Settings,
    moderator: Moderator,
    ledger: OpenLedger,
    lists: LiveLists,
    came_back: asyncio.Event | None = None,
) -> AsyncIterator[None]:
    """For as long as the block, rescan as ``settings.rescan`` says, and note what the lists have learnt too late.

    ``came_back`` is set whenever there is somebody again who scans.
    """
    running = [asyncio.create_task(reopen_late_matches(lists, ledger), name="late-matches")]
    if settings.rescan is not RescanMode.OFF:
        scanner = ModeratorScanner(moderator, settings.deadline_s)
        rescans = ServiceRescans(settings, scanner, ledger, came_back=came_back)
        running.append(asyncio.create_task(rescans.run(), name="rescan"))
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class ServiceRescans:
    """Looks for pending decisions, while this process holds the lease; one picture at a time.

    It looks every minute, and at once when ``came_back`` is set: then from the newest on, whatever it was at.
    """

    def __init__(
        self,
        settings: Settings,
        scanner: OwnScanner,
        ledger: OpenLedger,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        came_back: asyncio.Event | None = None,
    ) -> None:
        self._settings = settings
        self._scanner = scanner
        self._ledger = ledger
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._came_back = came_back or asyncio.Event()
        self._attempts = Attempts(wall_clock)
        self._told = ""

    async def run(self) -> None:
        """Rescan until this is cancelled; while pict-rs cannot be asked, say so once there is need."""
        await self._until_pictrs_can_be_asked()
        await work_while_held(self._ledger.lease(LEASE), self._keep_looking, self._sleep)

    async def _until_pictrs_can_be_asked(self) -> None:
        """Without the lease, which another process that can ask may hold."""
        told = ""
        while True:
            try:
                async with open_pictrs(self._settings.pictrs):
                    return
            except SettingsError as error:
                why = str(error)
            if why != told and await self._is_any_pending():
                text = f"pictures were let through that have to be scanned, and pict-rs cannot be asked: {why}"
                logger.error("rescan_impossible", text, why=why)
                told = why
            await self._sleep(LOOK_EVERY_S)

    async def _is_any_pending(self) -> bool:
        with contextlib.suppress(Exception):  # the ledger says what is wrong with the database
            return bool((await self._ledger.pending(limit=1)).records)
        return False

    async def _keep_looking(self) -> None:
        while True:
            problem = ""
            try:
                while not await self._scanner.is_ready():
                    await self._pause(READY_EVERY_S)
                self._note_return()
                await self._look()
            except Exception as error:
                problem = in_words(error)
            if problem and problem != self._told:
                logger.error("rescan_postponed", f"rescanning goes on in a minute: {problem}", why=problem)
            self._told = problem
            await self._pause(LOOK_EVERY_S)

    async def _pause(self, seconds: float) -> None:
        """Sleep for so long, or until there is somebody again who scans."""
        if not self._came_back.is_set():
            either: list[asyncio.Future[object]] = [
                asyncio.ensure_future(self._sleep(seconds)),
                asyncio.ensure_future(self._came_back.wait()),
            ]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in either:
                    each.cancel()
                await asyncio.gather(*either, return_exceptions=True)
        self._note_return()

    def _note_return(self) -> None:
        if self._came_back.is_set():
            self._came_back.clear()
            self._attempts.retry_unscanned()

    async def _look(self) -> None:
        # At each look anew: the key of pict-rs may have been replaced.
        async with open_pictrs(self._settings.pictrs) as pictrs:
            findings = rescan_pending(self._ledger, self._rescanner(pictrs), self._wall_clock, self._attempts.is_due)
            async with contextlib.aclosing(findings):
                async for finding in findings:
                    self._attempts.note(finding)
                    _tell(finding)
                    if self._came_back.is_set():
                        return  # what was left while nobody scanned, and is newer, comes before the rest

    def _rescanner(self, pictrs: PictrsClient) -> Rescanner:
        settings = self._settings
        purger = Purger(pictrs, self._ledger, SERVICE, settings.pictrs.max_purges_per_day, self._wall_clock)
        return Rescanner(
            pictrs,
            self._scanner,
            settings.limits.max_body_bytes,
            purger if settings.rescan is RescanMode.PURGE else None,
            of_source=settings.pictrs_source,
        )


def _tell(finding: Finding) -> None:
    names = " ".join(finding.aliases) or finding.decision.sha256
    request_id, why = finding.decision.request_id, finding.why
    match finding.result:
        case Result.REJECTED:
            logger.error(
                "stored_picture_rejected",
                f"the picture {names} was let through, and is rejected now ({why}): "
                "`pictwarden rescan --purge` removes it",
                request_id=request_id,
                picture=names,
                why=why,
            )
        case Result.UNSCANNABLE:
            logger.error(
                "stored_picture_unscannable",
                f"the picture {names} was let through, and cannot be scanned: look at it ({why}). "
                '`pictwarden decisions --done "rescan: unscannable"` lists all of these',
                request_id=request_id,
                picture=names,
                why=why,
            )
        case result:
            text = f"rescan of {names}: {result} ({why})"
            logger.info("rescanned", text, request_id=request_id, picture=names, result=result, why=why)
