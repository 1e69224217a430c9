"""Brings paragraphs to every address: no message too soon after another, and what fails is tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from serve_app.domain import SettingsError
from serve_app.logs import EventLogger
from serve_app.notices.message import MOST_PARAGRAPHS, Paragraph, message_of
from serve_app.notices.sending import Job, Outcome, Sender

logger = EventLogger(__name__)

FIRST_RETRY: Final = timedelta(minutes=1)
LONGEST_RETRY: Final = timedelta(hours=1)
"""Attempts at an address that fails are ever further apart, up to this."""


@dataclass(slots=True)
class _Address:
    number: int
    not_before: datetime
    waiting: list[Paragraph] = field(default_factory=list)
    left_out: int = 0
    failures: int = 0
    problem: str | None = None

    def add(self, paragraphs: Sequence[Paragraph]) -> None:
        self.waiting += paragraphs
        too_many = max(0, len(self.waiting) - MOST_PARAGRAPHS)
        del self.waiting[:too_many]
        self.left_out += too_many

    def note_sent(self, paragraphs: Sequence[Paragraph], left_out: int) -> None:
        sent = {id(each) for each in paragraphs}
        self.waiting = [each for each in self.waiting if id(each) not in sent]
        self.left_out -= left_out
        self.failures, self.problem = 0, None


class Delivery:
    """The addresses, and what each of them still has to be told. A message has all that waits for its address.

    What nobody got when this process ends is lost here, and told by the next one.
    """

    def __init__(
        self, sender: Sender, addresses: Callable[[], Sequence[str]], apart: timedelta, not_before: datetime
    ) -> None:
        """Nothing waits yet.

        Args:
            sender: sends once.
            addresses: the URLs, as they are now.
            apart: between two messages to one address.
            not_before: no message is sent earlier.
        """
        self._sender = sender
        self._urls = addresses
        self._apart = apart
        self._not_before = not_before
        self._addresses: dict[int, _Address] = {}

    def forget_after(self, at: datetime) -> None:
        """The clock was set back to ``at``: no message or attempt was later, after which an address would wait."""
        latest = at + max(self._apart, LONGEST_RETRY)
        self._not_before = min(self._not_before, latest)
        for each in self._addresses.values():
            each.not_before = min(each.not_before, latest)

    def add(self, paragraphs: Sequence[Paragraph]) -> None:
        """Have every address told of them.

        Raises:
            SettingsError: the addresses cannot be read: nothing is added.
        """
        for number, _ in enumerate(self._urls(), 1):
            self._addresses.setdefault(number, _Address(number, self._not_before)).add(paragraphs)

    def is_due(self, now: datetime) -> bool:
        """Whether :meth:`send_due` would send now."""
        return bool(self._due(now))

    def _due(self, now: datetime, *, at_once: bool = False) -> list[_Address]:
        return [each for each in self._addresses.values() if each.waiting and (at_once or now >= each.not_before)]

    async def send_due(self, clock: Callable[[], datetime], *, at_once: bool = False) -> bool:
        """Send to every address that something waits for, and whose time has come: whether one of them got it.

        ``at_once`` it has come for all of them.
        """
        now = clock()
        try:
            urls = dict(enumerate(self._urls(), 1))
        except SettingsError as error:
            for each in self._due(now, at_once=at_once):
                self._note_failure(each, Outcome(each.number, "", str(error)), now)
            return False
        for number in self._addresses.keys() - urls.keys():
            del self._addresses[number]
        due = self._due(now, at_once=at_once)
        if not due:
            return False
        sent = [(each, tuple(each.waiting), each.left_out) for each in due]
        jobs = [Job(each.number, urls[each.number], message_of(waiting, left_out)) for each, waiting, left_out in sent]
        outcomes = await self._sender.send(jobs)
        for (address, waiting, left_out), outcome in zip(sent, outcomes, strict=True):
            if outcome.problem is not None:
                self._note_failure(address, outcome, clock())
                continue
            if address.problem is not None:
                logger.info("notice_sent_again", f"{outcome} again", number=outcome.number, service=outcome.service)
            address.note_sent(waiting, left_out)
            address.not_before = clock() + self._apart
        return any(each.problem is None for each in outcomes)

    @staticmethod
    def _note_failure(address: _Address, outcome: Outcome, now: datetime) -> None:
        if outcome.problem != address.problem:
            text = f"{outcome}: it is tried again, in a minute and then ever less often"
            logger.error("notice_not_sent", text, number=outcome.number, service=outcome.service, why=outcome.problem)
        address.problem = outcome.problem
        address.not_before = now + min(FIRST_RETRY * 2 ** min(address.failures, 10), LONGEST_RETRY)
        address.failures += 1
