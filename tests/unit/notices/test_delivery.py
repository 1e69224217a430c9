"""Messages to several addresses: never too soon after another, and tried again where one fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import NoticeKind, SettingsError
from serve_app.logs.redaction import hide_secrets
from serve_app.notices.delivery import Delivery
from serve_app.notices.message import MOST_PARAGRAPHS, Paragraph, Weight, message_of
from tests.unit.notices.conftest import WatchedSender
from tests.virtual_clock import VirtualClock

SECRET = "ntfys://hush-hush-hush@host/topic"
APART = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)


def paragraph(number: int, weight: Weight = Weight.NEWS) -> Paragraph:
    return Paragraph(NoticeKind.REJECTED, weight, f"number {number}", f"This is number {number}.")


class Sent:
    """A delivery to some addresses, and its clock."""

    def __init__(self, addresses: int = 1) -> None:
        self.clock = VirtualClock()
        self.sender = WatchedSender(self.clock)
        self.urls = [SECRET] * addresses
        self.urls_fault: SettingsError | None = None
        self.times_taken = 0
        self.delivery = Delivery(self.sender, self.addresses, APART, self.clock.now)

    def addresses(self) -> list[str]:
        if self.urls_fault is not None:
            raise self.urls_fault
        return self.urls

    def note_taken(self) -> None:
        self.times_taken += 1

    async def wait(self, minutes: int) -> None:
        for _ in range(minutes):
            if self.delivery.is_due(self.clock.now):
                await self.delivery.send_due(self.clock, self.note_taken)
            self.clock.now += MINUTE


async def test_what_comes_soon_after_a_message_is_in_the_next() -> None:
    sent = Sent()
    sent.delivery.add([paragraph(1)])
    await sent.wait(1)
    for number in (2, 3):
        sent.delivery.add([paragraph(number, Weight(number))])
        await sent.wait(2)
    assert sent.sender.titles() == ["number 1"]
    await sent.wait(20)
    assert sent.sender.titles() == ["number 1", "number 3, and 1 more"]
    assert sent.sender.taken[1][1].message.body == "This is number 2.\n\nThis is number 3."
    assert sent.sender.taken[1][0] - sent.sender.taken[0][0] == APART


async def test_an_address_that_fails_is_tried_ever_less_often_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    sent = Sent(addresses=2)
    sent.sender.problems = {2: "connection refused"}
    sent.delivery.add([paragraph(1)])
    await sent.wait(300)
    assert sent.sender.titles(1) == ["number 1"]
    assert sent.sender.titles(2) == []
    assert sent.sender.attempts == 10, "after 0, 1, 3, 7, 15, 31, 63, 123, 183 and 243 minutes"
    sent.sender.problems.clear()
    sent.delivery.add([paragraph(2)])
    await sent.wait(61)
    assert sent.sender.titles(2) == ["number 1, and 1 more"]
    assert [each.message for each in caplog.records] == [
        "notice URL 2 (Test): connection refused: it is tried again, in a minute and then ever less often",
        "notice URL 2 (Test): delivered again",
    ]


async def test_addresses_that_cannot_be_read_are_attempts_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    sent = Sent(addresses=2)
    sent.delivery.add([paragraph(1)])
    sent.urls_fault = SettingsError("the file cannot be read")
    await sent.wait(5)
    assert [each.message for each in caplog.records] == [
        f"notice URL {number}: the file cannot be read: it is tried again, in a minute and then ever less often"
        for number in (1, 2)
    ]
    assert not sent.delivery.is_due(sent.clock.now), "after 0, 1 and 3 minutes, the next attempt is after 7"
    with pytest.raises(SettingsError):
        sent.delivery.add([paragraph(2)])
    sent.urls_fault = None
    await sent.wait(3)
    assert sent.sender.titles(1) == sent.sender.titles(2) == ["number 1"]


async def test_what_waits_for_long_is_bounded_and_the_rest_is_counted() -> None:
    sent = Sent()
    sent.sender.problems = {1: "the server answered 500"}
    for number in range(MOST_PARAGRAPHS + 5):
        sent.delivery.add([paragraph(number)])
        await sent.wait(1)
    sent.sender.problems.clear()
    await sent.wait(60)
    assert sent.sender.titles() == [f"number 5, and {MOST_PARAGRAPHS + 4} more"]
    assert sent.sender.taken[0][1].message.body.startswith(
        "Earlier notices that could not be sent are left out: 5.\n\nThis is number 5."
    )
    sent.delivery.add([paragraph(99)])
    await sent.wait(60)
    assert sent.sender.titles()[1:] == ["number 99"]


async def test_what_comes_while_something_is_being_sent_is_not_lost() -> None:
    sent = Sent()
    sent.delivery.add([paragraph(number) for number in range(MOST_PARAGRAPHS)])
    sent.sender.silent = {1}
    sending = asyncio.create_task(sent.delivery.send_due(sent.clock, sent.note_taken))
    await asyncio.sleep(0)
    sent.delivery.add([paragraph(100), paragraph(101)])
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    sent.sender.silent = set()
    await sent.wait(1)
    assert sent.sender.titles() == [f"number 2, and {MOST_PARAGRAPHS + 1} more"]


async def test_an_address_that_took_its_message_before_the_sending_ended_is_told_once() -> None:
    sent = Sent(addresses=2)
    sent.delivery.add([paragraph(1)])
    sent.sender.silent = {1}
    sending = asyncio.create_task(sent.delivery.send_due(sent.clock, sent.note_taken))
    await sent.sender.has_taken.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert sent.times_taken == 1
    sent.sender.silent = set()
    await sent.wait(60)
    assert sent.sender.titles(1) == sent.sender.titles(2) == ["number 1"]


async def test_a_fault_of_the_sender_is_an_attempt_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    sent = Sent()
    sent.delivery.add([paragraph(1)])
    sent.sender.fault = ValueError(SECRET)
    await sent.wait(6)
    assert sent.sender.attempts == 3, "after 0, 1 and 3 minutes"
    assert "notice URL 1: a fault of this program at " in caplog.text
    assert "hush" not in caplog.text
    sent.sender.fault = None
    await sent.wait(2)
    assert sent.sender.titles() == ["number 1"]


async def test_an_address_may_be_removed_and_another_one_added() -> None:
    sent = Sent(addresses=2)
    sent.sender.problems = {2: "connection refused"}
    sent.delivery.add([paragraph(1)])
    await sent.wait(1)
    sent.urls.pop()
    await sent.wait(60)
    assert sent.sender.attempts == 1, "nothing is left to be sent"
    sent.urls.append(SECRET)
    sent.sender.problems.clear()
    sent.delivery.add([paragraph(2)])
    await sent.wait(1)
    assert (sent.sender.titles(1), sent.sender.titles(2)) == (["number 1", "number 2"], ["number 2"])


STEPS = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 40)), max_size=30)


@given(STEPS)
async def test_whatever_fails_no_address_gets_two_messages_too_soon_and_each_gets_everything_once(
    steps: list[tuple[int, bool, int]],
) -> None:
    sent, numbers, added = Sent(addresses=2), itertools.count(), []
    for count, fails, minutes in steps:
        sent.sender.problems = {2: "the server answered 500"} if fails else {}
        new = [paragraph(next(numbers)) for _ in range(count)]
        added += new
        sent.delivery.add(new)
        await sent.wait(minutes)
    sent.sender.problems.clear()
    await sent.wait(120)
    for address in (1, 2):
        messages = [(at, job.message) for at, job in sent.sender.taken if job.number == address]
        assert all(later[0] - earlier[0] >= APART for earlier, later in itertools.pairwise(messages))
        texts = [text for _, message in messages for text in message.body.split("\n\n")]
        told = [text for text in texts if text.startswith("This")]
        left_out = sum(int(text.rpartition(" ")[2].rstrip(".")) for text in texts if text.startswith("Earlier"))
        assert len(told) + left_out == len(added)
        assert len(set(told)) == len(told)
        assert told[-1:] == [each.text for each in added[-1:]]


def test_no_secret_of_this_process_is_in_a_message() -> None:
    secret = "tell-nobody-of-this"
    hide_secrets([secret])
    message = message_of([Paragraph(NoticeKind.REJECTED, Weight.NEWS, f"of {secret}", f"It is of {secret}.")])
    assert (message.title, message.body) == ("Pictwarden: of ***", "It is of ***.")


@given(st.lists(st.sampled_from(Weight), min_size=1, max_size=MOST_PARAGRAPHS), st.integers(0, 9))
def test_the_heaviest_paragraph_names_its_message(weights: list[Weight], left_out: int) -> None:
    paragraphs = [paragraph(number, weight) for number, weight in enumerate(weights)]
    message = message_of(paragraphs, left_out)
    assert message.weight is max(weights)
    assert message.title.startswith(f"Pictwarden: number {weights.index(max(weights))}")
