"""Brings paragraphs to every address: no message too soon after another, and what fails is tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from serve_app.domain import in_words
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

    What waits is lost when this process ends: the next one tells again what no address got.
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

    async def send_due(
        self, clock: Callable[[], datetime], note_taken: Callable[[], None], *, at_once: bool = False
    ) -> None:
        """Send to every address that something waits for, and whose time has come.

        If it is cancelled, addresses that have taken their message until then are told.

        Args:
            clock: the time, UTC.
            note_taken: called as soon as an address has taken its message.
            at_once: the time has come for all addresses.
        """
        sent = {each.number: (each, tuple(each.waiting), each.left_out) for each in self._due(clock(), at_once=at_once)}

        def note(outcome: Outcome) -> None:
            address, waiting, left_out = sent.pop(outcome.number)
            if outcome.problem is not None:
                self._note_failure(address, outcome, clock())
                return
            if address.problem is not None:
                logger.info("notice_sent_again", f"{outcome} again", number=outcome.number, service=outcome.service)
            address.note_sent(waiting, left_out)
            address.not_before = clock() + self._apart
            note_taken()

        try:
            urls = dict(enumerate(self._urls(), 1))
            for number in self._addresses.keys() - urls.keys():
                del self._addresses[number]
                sent.pop(number, None)
            jobs = [Job(each, urls[each], message_of(waiting, left)) for each, (_, waiting, left) in sent.items()]
            if jobs:
                await self._sender.send(jobs, note)
        except Exception as error:
            for number in list(sent):
                note(Outcome(number, "", in_words(error)))

    @staticmethod
    def _note_failure(address: _Address, outcome: Outcome, now: datetime) -> None:
        if outcome.problem != address.problem:
            text = f"{outcome}: it is tried again, in a minute and then ever less often"
            logger.error("notice_not_sent", text, number=outcome.number, service=outcome.service, why=outcome.problem)
        address.problem = outcome.problem
        address.not_before = now + min(FIRST_RETRY * 2 ** min(address.failures, 10), LONGEST_RETRY)
        address.failures += 1
