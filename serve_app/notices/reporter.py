"""Tells admins what happens, for as long as this process holds the lease for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

from serve_app.domain import AuditEntry, NoticeKind, Tally, WorkLease, in_words
from serve_app.logs import EventLogger
from serve_app.notices.facts import Counted, Facts
from serve_app.notices.faults import Faults
from serve_app.notices.hours import Hours
from serve_app.notices.notifier import Audit, Notifier
from serve_app.notices.questions import ANSWER_WITHIN_S, Health, Questions, Watched
from serve_app.notices.sending import Sender
from serve_app.notices.told import NOTICE, REMEMBERED, Told, told_in
from serve_app.settings import Settings

logger = EventLogger(__name__)

LOOK_EVERY_S: Final = 10.0
"""The lease, which is renewed at each look, holds for 25 s."""

_RELEASE_WITHIN_S: Final = 2.0
_TOLD_WITHIN_S: Final = 10.0
"""The service ends, and waits for no longer."""

_LEASE: Final = "notices"
_NOT_TOLD: Final = "notices could not be told, and are tried again"


class Records(Audit, Health, Protocol):
    """Of a ledger and its archive what is needed here."""

    def lease(self, name: str) -> WorkLease:
        """The right to do the work ``name`` for all programs that share the ledger."""
        ...

    async def tally(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """How many decisions of a time are alike."""
        ...

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of one action since a moment, oldest first."""
        ...


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
        self._sender = sender
        self._addresses = addresses
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._lease = records.lease(_LEASE)
        self._faults = Faults()
        self._questions = Questions(records, watched, settings.notices.kinds, self._faults)
        self._notifier: Notifier | None = None
        self._is_blind = False
        """Whether it does not know what the audit says."""

    async def run(self) -> None:
        """Tell until this is cancelled."""
        try:
            while True:
                try:
                    await self._look()
                    self._faults.end(_NOT_TOLD)
                except Exception as error:
                    self._faults.note(_NOT_TOLD, error)
                await self._sleep(LOOK_EVERY_S)
        finally:
            if self._notifier is not None:
                await self._notifier.end_sending()

    async def tell_end(self, why: str) -> None:
        """The service ends by itself, after :meth:`run`: tell that nothing is scanned, unless that is told already.

        However soon it is after another message: there is no later one.
        """
        if NoticeKind.SCANNER not in self._settings.notices.kinds:
            return
        with contextlib.suppress(Exception):  # whoever ends it says why, too
            async with asyncio.timeout(_TOLD_WITHIN_S):
                if self._notifier is None and await self._lease.hold():
                    self._notifier = await self._take_over()
                if self._notifier is not None:
                    await self._tell_end(self._notifier, why)

    async def _tell_end(self, notifier: Notifier, why: str) -> None:
        facts = Facts(self._wall_clock(), scanner_problem=f"the service has ended: {why}", has_ended=True)
        notifier.see(facts, {NoticeKind.SCANNER})
        notifier.compose(facts, {NoticeKind.SCANNER}, at_once=True)
        await notifier.deliver(at_once=True)

    async def release(self) -> None:
        """Have another process tell from now on."""
        with contextlib.suppress(Exception):  # otherwise the lease runs out by itself
            async with asyncio.timeout(_RELEASE_WITHIN_S):
                await self._lease.release()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                holds = await self._lease.hold()
        except Exception:
            self._look_without_database()
            return
        if not holds:
            if self._notifier is not None:
                await self._notifier.end_sending()
                self._notifier = None
            return
        notifier = self._notifier
        if notifier is None or self._is_blind:
            notifier = await self._with_what_was_told(notifier)
            if notifier is None:
                self._look_without_database()
                return
            self._notifier, self._is_blind = notifier, False
        await self._look_with(notifier)

    async def _with_what_was_told(self, blind: Notifier | None) -> Notifier | None:
        """One that knows what the audit says; None while that cannot be read, or lacks what the ``blind`` one told."""
        if blind is not None:
            await blind.record_again()
            if not blind.is_settled:
                return None
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._take_over()
        except Exception as error:
            self._faults.note(_NOT_TOLD, error)
            return None

    async def _look_with(self, notifier: Notifier) -> None:
        (facts, kinds), _ = await asyncio.gather(self._questions.ask(self._wall_clock()), notifier.record_again())
        notifier.see(facts, kinds)
        if notifier.may_compose(facts.at):
            counted = await self._counted(notifier.hours, facts)
            if NoticeKind.SOURCE_QUOTA in notifier.compose(facts, kinds, counted):
                self._questions.note_over_quota_told()
        notifier.send()

    def _look_without_database(self) -> None:
        """Only that decisions cannot be recorded can be told then, by whoever would tell it otherwise.

        Where no process knows who that is, each tells it: rather twice than never.
        """
        health = self._records.health()
        if health.problem is None:
            health = replace(health, problem="does not answer")
        if self._notifier is None:
            self._notifier, self._is_blind = self._begin([]), True
        facts = Facts(self._wall_clock(), ledger=health)
        self._notifier.see(facts, {NoticeKind.LEDGER})
        if self._notifier.may_compose(facts.at):
            self._notifier.compose(facts, {NoticeKind.LEDGER})
        self._notifier.send()

    async def _take_over(self) -> Notifier:
        return self._begin(told_in(await self._records.audited(NOTICE, self._wall_clock() - REMEMBERED)))

    def _begin(self, told: Sequence[Told]) -> Notifier:
        return Notifier(
            self._settings, self._records, self._sender, self._addresses, self._wall_clock, self._faults, told
        )

    async def _counted(self, hours: Hours, facts: Facts) -> Counted | None:
        wanted = hours.wanted(facts.at, has_unrecorded=facts.has_unrecorded)
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
