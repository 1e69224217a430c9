"""The service's own hunts: what entries or policies reject since they changed is found, by one of its replicas."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from serve_app.domain import HuntMode, in_words
from serve_app.domain.archive import SERVICE
from serve_app.ledger import OpenLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.snapshot import Snapshot
from serve_app.logs import EventLogger
from serve_app.policy import Policies
from serve_app.settings import Settings
from serve_app.storage.attempts import NextAttempt
from serve_app.storage.hunt.audit import Hunted, hunt_entry, hunted_to, latest_outcome
from serve_app.storage.hunt.by_lists import sought_entries
from serve_app.storage.hunt.catching import Catcher, Caught
from serve_app.storage.hunt.hunter import Hunter
from serve_app.storage.hunt.pace import Pace, in_thread
from serve_app.storage.leased_work import work_while_held
from serve_app.storage.pending import MAX_LATER_IN_A_ROW
from serve_app.storage.rescan import Result

logger = EventLogger(__name__)

LOOK_EVERY_S: Final = 60.0
"""Seconds between two looks for what has changed: a bank that grows entry by entry is not hunted for each of them."""

LEASE: Final = "hunt"

MOST_ENTRIES: Final = 20_000
"""More take hours among a million pictures, and the service has uploads to answer: an admin starts that hunt."""

MOST_LEFT: Final = 1000
"""Pictures of one hunt that stay stored: then a policy or a list is wrong, and no further one is looked for."""

RECORDED_EVERY: Final = timedelta(days=1)
"""How often the audit says how many are left, where nothing changes."""


@contextlib.asynccontextmanager
async def hunting(settings: Settings, policies: Policies, ledger: OpenLedger, lists: LiveLists) -> AsyncIterator[None]:
    """For as long as the block, hunt as ``settings.hunt`` says; a ledger in memory has nothing to hunt through."""
    if settings.hunt is HuntMode.OFF or ledger.bodies is None:
        yield
        return
    hunts = asyncio.create_task(ServiceHunts(settings, policies, ledger, lists).run(), name="hunt")
    try:
        yield
    finally:
        hunts.cancel()
        await asyncio.gather(hunts, return_exceptions=True)


@dataclass(slots=True)
class _Pass:
    """One comparison: of entries behind ``since``, and by the policies if ``by_policy``.

    It is whole if it looks for all that no hunt before it has finished. Where there are too many entries, these are
    left out.
    """

    since: int
    by_policy: bool
    is_whole: bool
    counts: Counter[Result] = field(default_factory=Counter)
    is_broken_off: bool = False
    is_without_entries: bool = False

    @property
    def left(self) -> int:
        """Pictures that are still stored, as far as anybody knows."""
        return self.counts[Result.REJECTED] + self.counts[Result.LATER]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left."""
        return not (self.left or self.is_broken_off or self.is_without_entries)


class ServiceHunts:
    """Looks every minute for what has changed, while this process holds the lease."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        ledger: OpenLedger,
        lists: LiveLists,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._ledger = ledger
        self._lists = lists
        self._wall_clock = wall_clock
        self._sleep = sleep
        # A rest as long as the work leaves half of a core, whatever is hunted.
        self._pace = Pace(rest=sleep)
        self._compared_to = 0
        self._judged_by: str | None = None
        self._left = 0
        self._recorded_at: datetime | None = None
        self._next = NextAttempt()
        self._told: set[tuple[str, Result]] = set()
        self._problem = ""

    async def run(self) -> None:
        """Hunt until this is cancelled."""
        await work_while_held(self._ledger.lease(LEASE), self._keep_looking, self._sleep)

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:
                why = in_words(error)
                if why != self._problem:
                    logger.error("hunt_postponed", f"a hunt failed, and is tried again: {why}", why=why)
                self._problem = why
            await self._sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        now, lists = self._wall_clock(), self._lists.snapshot
        is_due = self._next.is_due(now)
        if not (is_due or lists.version != self._compared_to or self._policies.digests != self._judged_by):
            return
        done = await hunted_to(self._ledger)
        if self._judged_by is None:
            # What an earlier process has left, a command may have dealt with: then that has to be recorded.
            latest = await latest_outcome(self._ledger, now - 2 * RECORDED_EVERY)
            self._left = 0 if latest is None else latest.left
        this = self._pass(done, is_whole=is_due or not self._next.is_waiting)
        is_new = lists.version != self._compared_to
        try:
            await self._hunt(this, lists, is_new=is_new)
            await self._end(this, lists.version, done)
        except Exception:
            # All of it is compared again, and not every minute.
            self._next.note(now, is_soon=True)
            self._note_looked(lists)
            if purged := this.counts[Result.PURGED]:
                await self._ledger.audit(hunt_entry(now, SERVICE, purged, max(self._left, this.left)))
            raise
        # Not where the lease was lost meanwhile: then all of it is new when it is held again.
        self._note_looked(lists)
        self._problem = ""

    def _note_looked(self, lists: Snapshot) -> None:
        self._compared_to, self._judged_by = lists.version, self._policies.digests

    def _pass(self, done: Hunted, *, is_whole: bool) -> _Pass:
        by_policy = done.policies != self._policies.digests
        if is_whole:
            return _Pass(done.lists_version, by_policy, is_whole=True)
        # What an earlier one has left is tried again when it is due, and not with each new entry.
        by_policy = by_policy and self._judged_by != self._policies.digests
        return _Pass(max(done.lists_version, self._compared_to), by_policy, is_whole=False)

    async def _hunt(self, this: _Pass, lists: Snapshot, *, is_new: bool) -> None:
        bodies = self._ledger.bodies
        if bodies is None:
            return
        is_purging = self._settings.hunt is HuntMode.PURGE
        async with Catcher(self._settings, self._ledger, SERVICE, self._wall_clock, is_purging=is_purging) as catcher:
            hunter = Hunter(
                self._settings, self._ledger, bodies, lambda: self._lists.snapshot, catcher, self._wall_clock
            )
            sought = await self._sought(this, lists, is_new=is_new)
            if sought is not None and sought.own_entries:
                await self._take(this, hunter.by_lists(sought, self._pace))
            if this.by_policy and not this.is_broken_off:
                hunt = hunter.policy_hunt(self._policies)
                await self._take(this, hunter.by_policy(hunt, self._pace))
                if hunt.unjudged.told:
                    text = f"pictures that the hunt cannot judge by their recorded scores: {hunt.unjudged.told}"
                    logger.info("hunt_unjudged", text, why=hunt.unjudged.told)
            if catcher.passed_over:
                logger.info("hunt_passed_over", f"hunt: {catcher.passed_over}", why=catcher.passed_over)

    async def _sought(self, this: _Pass, lists: Snapshot, *, is_new: bool) -> Snapshot | None:
        """The entries of this pass; None if there are none, or too many, which is told where the lists are new."""
        if this.since == lists.version:
            return None
        store = self._lists.store
        entries = await in_thread(store.changes_count_since, this.since) if this.since else lists.own_entries
        if entries <= MOST_ENTRIES:
            return await in_thread(sought_entries, self._lists, None, this.since)
        this.is_without_entries = True
        if is_new:
            text = (
                f"{entries:,} entries were added, and the service hunts for at most {MOST_ENTRIES:,} by itself: "
                "`pictwarden hunt` looks for all of them"
            )
            logger.error("hunt_too_large", text, entries=entries)
        return None

    async def _take(self, this: _Pass, found: AsyncGenerator[Caught, None]) -> None:
        later = 0
        async with contextlib.aclosing(found):
            async for caught in found:
                this.counts[caught.result] += 1
                self._tell(caught)
                later = later + 1 if caught.result is Result.LATER else 0
                if this.left >= MOST_LEFT or later >= MAX_LATER_IN_A_ROW:
                    this.is_broken_off = True
                    return

    def _tell(self, caught: Caught) -> None:
        """Once: what is left is found again by each hunt."""
        suspect = caught.suspect
        request_id = suspect.recorded.decision.request_id
        if (request_id, caught.result) in self._told:
            return
        self._told.add((request_id, caught.result))
        names = " ".join(caught.aliases) or suspect.recorded.decision.sha256
        why = f"{suspect.why}; {caught.why}" if caught.why else suspect.why
        if caught.result in (Result.REJECTED, Result.ELSEWHERE):
            text = f"the picture {names} was accepted, and is rejected now ({why})"
            text += f": `{suspect.command}` removes it" if caught.aliases else ""
            logger.error("stored_picture_rejected", text, request_id=request_id, picture=names, why=why)
        else:
            text = f"hunt for {names}: {caught.result} ({why})"
            logger.info("hunted", text, request_id=request_id, picture=names, result=caught.result, why=why)

    async def _end(self, this: _Pass, version: int, done: Hunted) -> None:
        left = this.left if this.is_whole else self._left + this.left
        purged, now = this.counts[Result.PURGED], self._wall_clock()
        is_done = this.is_clean and this.is_whole
        is_news = is_done and Hunted(version, self._policies.digests) != done
        is_old = left > 0 and (self._recorded_at is None or now - self._recorded_at >= RECORDED_EVERY)
        if is_news or is_old or purged or left != self._left:
            self._recorded_at = now
            entry = hunt_entry(
                now,
                SERVICE,
                purged,
                left,
                lists_version=version if is_done else None,
                policies=self._policies.digests if is_done else None,
            )
            await self._ledger.audit(entry)
        self._left = left
        if is_done:
            self._next.forget()
            self._told.clear()
        elif this.is_whole or not this.is_clean:
            self._next.note(now, is_soon=this.counts[Result.LATER] > 0)
