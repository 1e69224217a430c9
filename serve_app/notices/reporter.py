"""Tells admins what happens, for as long as this process holds the lease for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import AuditEntry, LedgerHealth, NoticeKind, PendingDecisions, Tally, WorkLease, in_words
from serve_app.logs import EventLogger
from serve_app.notices.delivery import Delivery
from serve_app.notices.facts import Counted, Facts, SuspendedEntry
from serve_app.notices.hours import Hours
from serve_app.notices.incidents import Incidents, Phase, Telling
from serve_app.notices.message import Paragraph
from serve_app.notices.sending import Sender
from serve_app.notices.told import NOTICE, REMEMBERED, Told, told_in
from serve_app.notices.words import counted_paragraphs, paragraph_of
from serve_app.settings import Settings

logger = EventLogger(__name__)

LOOK_EVERY_S: Final = 10.0
"""The lease, which is renewed at each look, holds for 25 s."""

_ANSWER_WITHIN_S: Final = 10.0
"""Seconds until a database that does not answer counts as one that refuses."""

_RELEASE_WITHIN_S: Final = 2.0
_TOLD_WITHIN_S: Final = 10.0
"""The service ends, and waits for no longer."""

_LEASE: Final = "notices"


class Records(Protocol):
    """Of a ledger and its archive what is needed here."""

    def lease(self, name: str) -> WorkLease:
        """The right to do the work ``name`` for all programs that share the ledger."""
        ...

    def health(self) -> LedgerHealth:
        """Whether this process's decisions are being recorded."""
        ...

    async def pending_count(self) -> PendingDecisions:
        """How many pictures wait to be scanned."""
        ...

    async def tally(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """How many decisions of a time are alike."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Add an entry to the audit."""
        ...

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of one action since a moment, oldest first."""
        ...


class Watched(Protocol):
    """What is asked beside the records."""

    async def scanner_problem(self) -> str | None:
        """Why no picture can be scanned now; None if one can. It answers within a few seconds."""
        ...

    async def suspended(self) -> Sequence[SuspendedEntry]:
        """The entries of the lists that are suspended, in the order of their numbers."""
        ...

    def over_quota(self) -> Mapping[str, int]:
        """Pictures beyond the quota of their source, by source, since the start of this process."""
        ...

    async def purged_since(self, since: datetime) -> int:
        """How many pictures were purged since a moment."""
        ...


@dataclass(slots=True)
class _Holding:
    """What a process knows that tells: it is read from the audit when the process begins to."""

    incidents: Incidents
    hours: Hours
    delivery: Delivery
    compose_at: datetime
    is_blind: bool
    """Whether the audit could not be read."""
    handed_over: list[Told] = field(default_factory=list)
    """Of which no address was told yet."""
    to_audit: list[Told] = field(default_factory=list)


class Reporter:
    """Looks at the service every few seconds, and has told what is due."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        watched: Watched,
        sender: Sender,
        addresses: Callable[[], Sequence[str]],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Nothing is told yet: :meth:`run` does it."""
        self._settings = settings
        self._records = records
        self._watched = watched
        self._sender = sender
        self._addresses = addresses
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._lease = records.lease(_LEASE)
        self._holding: _Holding | None = None
        self._sending: asyncio.Task[None] | None = None
        self._fault = ""
        self._over_quota = self._over_quota_told = Counter(watched.over_quota())

    async def run(self) -> None:
        """Tell until this is cancelled."""
        try:
            while True:
                try:
                    await self._look()
                    self._fault = ""
                except Exception as error:
                    self._note_fault(error)
                await self._sleep(LOOK_EVERY_S)
        finally:
            await self._end_sending()

    async def tell_end(self, why: str) -> None:
        """The service ends by itself, after :meth:`run`: tell that nothing is scanned, unless that is told already.

        However soon it is after another message: there is no later one.
        """
        if NoticeKind.SCANNER not in self._settings.notices.kinds:
            return
        with contextlib.suppress(Exception):  # whoever ends it says why, too
            async with asyncio.timeout(_TOLD_WITHIN_S):
                if self._holding is None and await self._lease.hold():
                    self._holding = await self._take_over()
                if self._holding is not None:
                    await self._tell_end(self._holding, why)

    async def _tell_end(self, holding: _Holding, why: str) -> None:
        facts = Facts(self._wall_clock(), scanner_problem=f"the service has ended: {why}", has_ended=True)
        holding.incidents.see(facts, [NoticeKind.SCANNER])
        self._compose(holding, facts, None, holding.incidents.due(facts, [NoticeKind.SCANNER], at_once=True))
        await self._deliver(holding, at_once=True)

    async def release(self) -> None:
        """Have another process tell from now on."""
        with contextlib.suppress(Exception):  # otherwise the lease runs out by itself
            async with asyncio.timeout(_RELEASE_WITHIN_S):
                await self._lease.release()

    def _note_fault(self, error: Exception) -> None:
        words = in_words(error)
        if words != self._fault:
            text = f"notices could not be told, and are tried again: {words}"
            logger.error("notices_failed", text, why=words)
        self._fault = words

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                holds = await self._lease.hold()
        except Exception:
            await self._look_without_database()
            return
        if not holds:
            await self._end_sending()
            self._holding = None
            return
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            if self._holding is not None and not self._is_sending():
                await self._audit(self._holding)
            if self._holding is None or self._holding.is_blind:
                self._holding = await self._take_over()
            facts = await self._facts()
        self._holding.incidents.see(facts)
        if facts.at >= self._holding.compose_at:
            counted = await self._counted(self._holding.hours, facts.at)
            self._compose(self._holding, facts, counted, self._holding.incidents.due(facts))
        self._send(self._holding)

    async def _look_without_database(self) -> None:
        """Only that decisions cannot be recorded can be told then, by whoever would tell it otherwise.

        Where no process knows who that is, each tells it: rather twice than never.
        """
        health = self._records.health()
        if health.problem is None:
            health = replace(health, problem="does not answer")
        now = self._wall_clock()
        if self._holding is None:
            self._holding = self._begin([], now, is_blind=True)
        facts = Facts(now, ledger=health)
        only = {NoticeKind.LEDGER} & set(self._settings.notices.kinds)
        self._holding.incidents.see(facts, only)
        if now >= self._holding.compose_at:
            self._compose(self._holding, facts, None, self._holding.incidents.due(facts, only))
        self._send(self._holding)

    async def _take_over(self) -> _Holding:
        now = self._wall_clock()
        return self._begin(told_in(await self._records.audited(NOTICE, now - REMEMBERED)), now)

    def _begin(self, told: Sequence[Told], now: datetime, *, is_blind: bool = False) -> _Holding:
        notices = self._settings.notices
        apart = timedelta(seconds=notices.at_most_every_s)
        free_at = max((each.at + apart for each in told), default=now)
        return _Holding(
            Incidents(notices, self._settings.pictrs.max_purges_per_day, told, now),
            Hours(notices, told, now),
            Delivery(self._sender, self._addresses, apart, free_at),
            free_at,
            is_blind,
        )

    async def _facts(self) -> Facts:
        now = self._wall_clock()
        over_quota, earlier = Counter(self._watched.over_quota()), self._over_quota
        self._over_quota = over_quota
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Facts(
            now,
            scanner_problem=await self._watched.scanner_problem(),
            pending=await self._records.pending_count(),
            suspended=await self._watched.suspended(),
            purged_today=await self._watched.purged_since(midnight),
            over_quota=over_quota - self._over_quota_told,
            is_over_quota=over_quota != earlier,
            ledger=self._records.health(),
        )

    async def _counted(self, hours: Hours, now: datetime) -> Counted | None:
        wanted = hours.wanted(now)
        if wanted is None:
            return None
        try:
            tallies = await self._records.tally(*wanted)
        except Exception as error:
            # A count that takes too long would take too long again: other notices do not wait for it.
            words = in_words(error)
            logger.error("hour_not_counted", f"the decisions of the last hour could not be counted: {words}", why=words)
            hours.note_failure(wanted[1])
            return None
        return hours.due(tallies, *wanted)

    def _compose(self, holding: _Holding, facts: Facts, counted: Counted | None, tellings: Sequence[Telling]) -> None:
        """Hand over what is due, in one message."""
        paragraphs: list[Paragraph] = [paragraph_of(each, facts, self._settings) for each in tellings]
        if counted is not None:
            paragraphs += counted_paragraphs(counted)
        if not paragraphs:
            return
        holding.delivery.add(paragraphs)  # first: where it fails, nothing counts as told
        if counted is not None:
            holding.hours.note_told(counted)
        holding.incidents.note_told(tellings, facts.at)
        if any(each.kind is NoticeKind.SOURCE_QUOTA for each in tellings):
            self._over_quota_told = self._over_quota
        holding.compose_at = facts.at + timedelta(seconds=self._settings.notices.at_most_every_s)
        holding.handed_over.append(
            Told(
                facts.at,
                None if counted is None else counted.until,
                {each.kind: each.since for each in tellings if each.phase is not Phase.OVER},
                frozenset(each.kind for each in tellings if each.phase is Phase.OVER),
            )
        )

    def _send(self, holding: _Holding) -> None:
        """Begin to send what is due, unless something is being sent: looks go on meanwhile."""
        if not self._is_sending() and holding.delivery.is_due(self._wall_clock()):
            self._sending = asyncio.create_task(self._deliver(holding), name="sending notices")

    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def _deliver(self, holding: _Holding, *, at_once: bool = False) -> None:
        handed_over = list(holding.handed_over)
        try:
            if not await holding.delivery.send_due(self._wall_clock, at_once=at_once):
                return
        except Exception as error:
            self._note_fault(error)
            return
        holding.to_audit += handed_over
        del holding.handed_over[: len(handed_over)]
        with contextlib.suppress(Exception):  # it is tried again at each look
            await self._audit(holding)

    async def _audit(self, holding: _Holding) -> None:
        """Have the audit say what was told, so that no other process tells it again."""
        while holding.to_audit:
            await self._records.audit(holding.to_audit[0].entry())
            holding.to_audit.pop(0)

    async def _end_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._sending = None
