"""Decides what is told, and has it sent: what the one process that tells knows and does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import AuditEntry, NoticeKind
from serve_app.notices.delivery import Delivery
from serve_app.notices.facts import Counted, Facts
from serve_app.notices.faults import Faults
from serve_app.notices.hours import Hours
from serve_app.notices.incidents import Incidents, Phase
from serve_app.notices.message import Paragraph
from serve_app.notices.questions import ANSWER_WITHIN_S
from serve_app.notices.sending import Sender
from serve_app.notices.told import Told
from serve_app.notices.words import counted_paragraphs, paragraph_of
from serve_app.settings import Settings

_RECORDED_WITHIN_S: Final = 2.0
"""The service ends, and waits for no longer."""

_NOT_AUDITED: Final = "what was told could not be recorded in the audit, and is tried again"


class Audit(Protocol):
    """Of a ledger what is needed here."""

    async def audit(self, entry: AuditEntry) -> None:
        """Add an entry to the audit."""
        ...


class Notifier:
    """Begins with what the audit says was told; what it tells is recorded there, for the next one."""

    def __init__(
        self,
        settings: Settings,
        audit: Audit,
        sender: Sender,
        addresses: Callable[[], Sequence[str]],
        wall_clock: Callable[[], datetime],
        faults: Faults,
        told: Sequence[Told],
    ) -> None:
        """It goes on from what was ``told``, oldest first."""
        now = wall_clock()
        self._settings = settings
        self._audit = audit
        self._wall_clock = wall_clock
        self._faults = faults
        self._apart = timedelta(seconds=settings.notices.at_most_every_s)
        self._compose_at = max((min(each.at, now) + self._apart for each in told), default=now)
        self._incidents = Incidents(settings.notices, settings.pictrs.max_purges_per_day, told, now)
        self.hours = Hours(settings.notices, told, now)
        self._delivery = Delivery(sender, addresses, self._apart, self._compose_at)
        self._sending: asyncio.Task[None] | None = None
        self._handed_over: list[Told] = []
        """Of which no address was told yet."""
        self._to_audit: list[Told] = []

    @property
    def is_settled(self) -> bool:
        """Whether the audit has all that was told, and nothing is being sent."""
        return not self._is_sending() and not self._to_audit

    def see(self, facts: Facts, kinds: Collection[NoticeKind]) -> None:
        """Note which things are so; the facts are of ``kinds``."""
        # Where a clock was ahead, here or in another process, the admins would be told nothing until that time.
        self._compose_at = min(self._compose_at, facts.at + self._apart)
        self._incidents.forget_after(facts.at)
        self.hours.forget_after(facts.at)
        self._delivery.forget_after(facts.at)
        self._incidents.see(facts, kinds)

    def may_compose(self, at: datetime) -> bool:
        """Whether the message before is long enough ago."""
        return at >= self._compose_at

    def compose(
        self, facts: Facts, kinds: Collection[NoticeKind], counted: Counted | None = None, *, at_once: bool = False
    ) -> set[NoticeKind]:
        """Hand over what is due, in one message: the incidents that it tells.

        Args:
            facts: what was seen last.
            kinds: of which the facts are.
            counted: the hour that is told with them, if it is.
            at_once: see :meth:`Incidents.due`.

        Raises:
            SettingsError: the addresses cannot be read: nothing counts as told.
        """
        tellings = self._incidents.due(facts, kinds, at_once=at_once)
        paragraphs: list[Paragraph] = [paragraph_of(each, facts, self._settings) for each in tellings]
        if counted is not None:
            paragraphs += counted_paragraphs(counted)
        if not paragraphs:
            return set()
        self._delivery.add(paragraphs)  # first: where it fails, nothing counts as told
        if counted is not None:
            self.hours.note_told(counted)
        self._incidents.note_told(tellings, facts.at)
        self._compose_at = facts.at + self._apart
        self._handed_over.append(
            Told(
                facts.at,
                None if counted is None else counted.until,
                {each.kind: each.since for each in tellings if each.phase is not Phase.OVER},
                frozenset(each.kind for each in tellings if each.phase is Phase.OVER),
            )
        )
        return {each.kind for each in tellings}

    def send(self) -> None:
        """Begin to send what is due, unless something is being sent: looks go on meanwhile."""
        if not self._is_sending() and self._delivery.is_due(self._wall_clock()):
            self._sending = asyncio.create_task(self.deliver(), name="sending notices")

    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def deliver(self, *, at_once: bool = False) -> None:
        """Send what is due; ``at_once`` everything."""
        handed_over = list(self._handed_over)

        def note_taken() -> None:
            self._to_audit += handed_over
            del self._handed_over[: len(handed_over)]
            handed_over.clear()  # one address suffices

        await self._delivery.send_due(self._wall_clock, note_taken, at_once=at_once)
        await self._record_told()

    async def record_again(self) -> None:
        """Try again to have the audit say what was told, where it could not be written."""
        if not self._is_sending():
            await self._record_told()

    async def _record_told(self) -> None:
        """Have the audit say what was told, so that no other process tells it again."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while self._to_audit:
                    await self._audit.audit(self._to_audit[0].entry())
                    self._to_audit.pop(0)
        except Exception as error:
            self._faults.note(_NOT_AUDITED, error)
        else:
            self._faults.end(_NOT_AUDITED)

    async def end_sending(self) -> None:
        """What is being sent is not sent any further; what an address has taken is recorded, if that is soon done."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._sending = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RECORDED_WITHIN_S):
                await self._record_told()
