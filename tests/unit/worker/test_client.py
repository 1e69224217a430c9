"""One connection of a worker, over a socket without a network: the dialogue, its bounds, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from serve_app.domain import (
    Call,
    DeadlineExceededError,
    FrameFingerprint,
    LabelScores,
    Lane,
    ModelError,
    ModelIdentity,
    OverloadedError,
    UndecodableError,
    UnscannedReason,
    ViewPlace,
    Views,
)
from serve_app.remote.frames import from_worker, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    BodyWork,
    Cancelled,
    Examined,
    Failed,
    FromFront,
    FromWorker,
    Hello,
    Leaving,
    Offer,
    Ping,
    Pong,
    Refusal,
    Refused,
    Scored,
    Wanted,
    Work,
)
from serve_app.worker import answering as answering_module
from serve_app.worker import client as client_module
from serve_app.worker.client import Client
from serve_app.worker.ports import ConnectionLostError, OpenedScorers
from tests.unit.worker.front import MessageT, views, wanted, work

MODEL = ModelIdentity("fake", "0" * 64, 8)
OFFER = Offer(MODEL, {1: 0.01})
CUT = ConnectionLostError("the cable was cut")


class Socket:
    """Both ends of a connection."""

    def __init__(self) -> None:
        self._to_worker: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self._to_front: asyncio.Queue[FromWorker] = asyncio.Queue()

    async def receive(self) -> bytes:
        got = await self._to_worker.get()
        if isinstance(got, Exception):
            raise got
        return got

    async def send(self, frame: bytes) -> None:
        self._to_front.put_nowait(from_worker(frame))

    def say(self, *said: FromFront | bytes | Exception) -> None:
        """What the front sends, or what becomes of the connection."""
        for each in said:
            self._to_worker.put_nowait(each if isinstance(each, bytes | Exception) else packed(each))

    async def next(self, kind: type[MessageT]) -> MessageT:
        got = await self._to_front.get()
        assert isinstance(got, kind), got
        return got

    @property
    def has_more(self) -> bool:
        return not self._to_front.empty()


@dataclass
class Scorers:
    """Answers each work once its gate is open; ``failures`` are raised instead, by the number of the work."""

    device: str = "a card"
    offers: tuple[Offer, ...] = (OFFER,)
    decoders: int = 2
    calls: dict[int, Call] = field(default_factory=dict)
    failures: dict[int, Exception] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def decode(self, work: BodyWork, call: Call) -> Views:
        if failure := self.failures.get(work.number):
            raise failure
        place = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))
        hashes = FrameFingerprint(0, 100, bytes(range(256)))
        return Views(views(1), (place,), work.content.tobytes().decode(), 1, 3, fingerprints=(hashes,))

    async def score(self, work: Work, call: Call) -> LabelScores:
        self.calls[work.number] = call
        self.has_begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.add(work.number)
            raise
        if failure := self.failures.get(work.number):
            raise failure
        return LabelScores(np.full((len(work.pixels), 2), work.number, np.float32), 100.0, MODEL)


class Bench:
    """A client as a task."""

    def __init__(self) -> None:
        self.socket, self.scorers, self.stop = Socket(), Scorers(), asyncio.Event()
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.failure: Exception | None = None
        self.opened: list[Wanted] = []
        self.accepted: list[str] = []
        self.now_s = 100.0
        self.client = Client(
            *(self.socket, self.open, "desktop", "0.2.0", "drawn", self.stop, self.note), clock=lambda: self.now_s
        )
        self.task = asyncio.create_task(self.client.run())

    async def open(self, wants: Wanted) -> Scorers:
        self.opened.append(wants)
        await self.may_open.wait()
        if self.failure is not None:
            raise self.failure
        return self.scorers

    def note(self, accepted: Accepted, scorers: OpenedScorers) -> None:
        assert scorers is self.scorers
        self.accepted.append(accepted.worker)

    async def accept(self, wants: Wanted | None = None) -> None:
        self.socket.say(wants or wanted())
        await self.socket.next(Hello)
        self.socket.say(Accepted("desktop-2"))

    async def settle(self) -> None:
        """What was said is taken: a ping behind it is answered."""
        self.socket.say(Ping(99))
        await self.socket.next(Pong)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_worker_says_what_it_has_and_scores_what_it_is_sent(bench: Bench) -> None:
    bench.socket.say(wanted())
    assert await bench.socket.next(Hello) == Hello(PROTOCOL, "0.2.0", "desktop", "a card", (OFFER,), 2, "drawn")
    bench.socket.say(Accepted("desktop-2"), work(7, views(3)))
    await bench.scorers.has_begun.wait()
    bench.now_s += 0.25
    bench.scorers.gate.set()
    scored = await bench.socket.next(Scored)
    assert (scored.number, scored.logit_scale, scored.held_s) == (7, 100.0, 0.25)
    np.testing.assert_array_equal(scored.values, np.full((3, 2), 7.0))
    assert bench.accepted == ["desktop-2"]


async def test_a_ping_is_answered_at_once_while_a_model_loads(bench: Bench) -> None:
    bench.may_open.clear()
    bench.socket.say(wanted(), Ping(3))
    assert (await bench.socket.next(Pong)).number == 3
    bench.may_open.set()
    await bench.socket.next(Hello)
    bench.socket.say(Ping(4))
    assert (await bench.socket.next(Pong)).number == 4


@pytest.mark.parametrize(("protocol", "behind"), [(PROTOCOL + 1, "worker"), (PROTOCOL - 1, "front")])
async def test_another_protocol_is_refused_with_what_to_upgrade(bench: Bench, protocol: int, behind: str) -> None:
    bench.socket.say(wanted(protocol=protocol, version="9.9"))
    refused = await bench.socket.next(Refused)
    assert refused == await bench.task
    assert refused.reason is Refusal.PROTOCOL
    assert refused.message == (
        f"the front is Pictwarden 9.9 and speaks protocol {protocol}, the worker is Pictwarden 0.2.0 and speaks "
        f"protocol {PROTOCOL}: upgrade the {behind}"
    )
    assert bench.opened == []


async def test_a_first_message_of_an_unknown_form_is_another_protocol(bench: Bench) -> None:
    bench.socket.say(b"\x00\x00\x00\x00\x02{}")
    refused = await bench.socket.next(Refused)
    assert refused == await bench.task
    assert refused.reason is Refusal.PROTOCOL
    assert "install the same version of Pictwarden on both machines" in refused.message


async def test_a_model_that_cannot_be_had_is_refused_and_the_front_learns_no_path(bench: Bench) -> None:
    bench.failure = ModelError("model folder /home/alice/secret does not exist")
    bench.socket.say(wanted())
    told = await bench.socket.next(Refused)
    why = await bench.task
    assert why is not None
    assert told.reason is why.reason is Refusal.MODEL
    assert "alice" not in told.message
    assert why.message == "model folder /home/alice/secret does not exist"


@pytest.mark.parametrize("is_accepted", [False, True])
async def test_the_front_may_refuse_at_any_time(bench: Bench, is_accepted: bool) -> None:
    if is_accepted:
        await bench.accept()
    refused = Refused(Refusal.REVOKED, "the secret was taken away")
    bench.socket.say(refused)
    assert await bench.task == refused


async def test_what_a_front_says_to_people_is_short_and_obeyed_by_no_terminal(bench: Bench) -> None:
    bench.socket.say(Refused(Refusal.FULL, "\x1b[2Jsixteen" + "!" * 10_000))
    refused = await bench.task
    assert refused is not None
    assert refused.message.startswith("\\x1b[2Jsixteen!")
    assert len(refused.message) < 1000


async def test_each_work_has_its_own_outcome(bench: Bench) -> None:
    await bench.accept()
    bench.scorers.failures = {
        1: DeadlineExceededError("no time was left"),
        2: OverloadedError("too long a queue"),
        3: RuntimeError("what no front needs to know"),
    }
    bench.scorers.gate.set()
    bench.socket.say(*(work(number, views(1)) for number in range(1, 5)))
    failed = {each.number: each for each in [await bench.socket.next(Failed) for _ in range(3)]}
    assert {number: each.reason for number, each in failed.items()} == {
        1: UnscannedReason.DEADLINE,
        2: UnscannedReason.OVERLOADED,
        3: UnscannedReason.UNAVAILABLE,
    }
    assert "what no front" not in failed[3].message
    assert (await bench.socket.next(Scored)).number == 4


async def test_nobody_scores_or_answers_what_was_cancelled(bench: Bench) -> None:
    await bench.accept()
    bench.socket.say(work(1, views(1)), work(2, views(1)))
    await bench.settle()
    bench.socket.say(Cancelled(1), Cancelled(17))
    await bench.settle()
    assert bench.scorers.cancelled == {1}
    bench.scorers.gate.set()
    assert (await bench.socket.next(Scored)).number == 2
    await bench.settle()
    assert not bench.socket.has_more


@pytest.mark.parametrize("limit", ["MAX_WORKS", "MAX_WORKS_BYTES"])
async def test_a_front_that_sends_more_than_is_sane_is_told_so(
    bench: Bench, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = work(1, views(1))
    monkeypatch.setattr(answering_module, limit, 2 if limit == "MAX_WORKS" else 2 * len(packed(one)))
    await bench.accept()
    bench.socket.say(*(work(number, views(1)) for number in range(1, 5)))
    failed = [await bench.socket.next(Failed) for _ in range(2)]
    assert {(each.number, each.reason) for each in failed} == {
        (3, UnscannedReason.OVERLOADED),
        (4, UnscannedReason.OVERLOADED),
    }
    bench.scorers.gate.set()
    assert {(await bench.socket.next(Scored)).number for _ in range(2)} == {1, 2}
    bench.socket.say(work(5, views(1)))
    assert (await bench.socket.next(Scored)).number == 5


async def test_a_work_alone_is_taken_whatever_its_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering_module, "MAX_WORKS_BYTES", 1)
    await bench.accept()
    bench.scorers.gate.set()
    bench.socket.say(work(1, views(2)))
    assert (await bench.socket.next(Scored)).number == 1


async def test_no_front_gives_a_picture_longer_than_its_own_deadline(bench: Bench) -> None:
    await bench.accept(wanted(deadline_s=3.0))
    bench.socket.say(work(1, views(1), remaining_s=1.0), work(2, views(1), remaining_s=1e9))
    await bench.settle()
    assert [bench.scorers.calls[number].deadline.remaining_s() for number in (1, 2)] == [1.0, 3.0]


@pytest.mark.parametrize(
    "said",
    [
        [Accepted("desktop")],
        [work(1, views(1))],
        [Cancelled(1)],
        [wanted(), wanted()],
    ],
    ids=["accepted", "work", "cancelled", "wanted twice"],
)
async def test_a_message_out_of_turn_ends_the_connection(bench: Bench, said: list[FromFront]) -> None:
    bench.may_open.clear()
    bench.socket.say(*said)
    with pytest.raises(ConnectionLostError, match="out of turn"):
        await bench.task


@pytest.mark.parametrize(
    "again", [work(1, views(1)), Accepted("desktop"), wanted()], ids=["work", "accepted", "wanted"]
)
async def test_so_does_one_that_comes_twice(bench: Bench, again: FromFront) -> None:
    await bench.accept()
    bench.socket.say(work(1, views(1)), again)
    with pytest.raises(ConnectionLostError, match="out of turn"):
        await bench.task


async def test_a_later_message_that_cannot_be_read_ends_the_connection(bench: Bench) -> None:
    await bench.accept()
    bench.socket.say(b"garbage")
    with pytest.raises(ConnectionLostError, match="cannot be read"):
        await bench.task


async def test_a_front_that_says_nothing_is_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENT_S", 0.01)
    await bench.settle()  # from here on it waits for so long
    with pytest.raises(ConnectionLostError, match="has said nothing"):
        await bench.task


async def test_what_was_in_flight_ends_with_the_connection(bench: Bench) -> None:
    await bench.accept()
    bench.socket.say(work(1, views(1)))
    await bench.scorers.has_begun.wait()
    bench.socket.say(CUT)
    with pytest.raises(ConnectionLostError, match="the cable was cut"):
        await bench.task
    assert bench.scorers.cancelled == {1}


async def test_a_worker_that_is_stopped_answers_what_it_has_and_takes_no_more(bench: Bench) -> None:
    await bench.accept()
    bench.socket.say(work(1, views(1)))
    await bench.scorers.has_begun.wait()
    bench.stop.set()
    await bench.socket.next(Leaving)
    bench.socket.say(work(2, views(1)))
    failed = await bench.socket.next(Failed)
    assert (failed.number, failed.reason) == (2, UnscannedReason.UNAVAILABLE)
    assert not bench.task.done()
    bench.scorers.gate.set()
    assert (await bench.socket.next(Scored)).number == 1
    assert await bench.task is None


async def test_it_waits_no_longer_than_the_deadline_of_a_picture(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LEAVING_MARGIN_S", 0.01)
    await bench.accept(wanted(deadline_s=0.01))
    bench.socket.say(work(1, views(1)))
    await bench.scorers.has_begun.wait()
    bench.stop.set()
    assert await bench.task is None
    assert bench.scorers.cancelled == {1}


def before_anything(bench: Bench) -> None:
    """The front has said nothing yet."""


def while_loading(bench: Bench) -> None:
    bench.may_open.clear()
    bench.socket.say(wanted())


@pytest.mark.parametrize("begin", [before_anything, while_loading])
async def test_it_leaves_at_once_before_it_was_accepted(bench: Bench, begin: Callable[[Bench], None]) -> None:
    begin(bench)
    bench.socket.say(Ping(1))
    await bench.socket.next(Pong)
    bench.stop.set()
    assert await bench.task is None
    assert not bench.socket.has_more


def body(number: int, content: bytes = b"image/webp") -> BodyWork:
    return BodyWork(number, 0, 8.0, Lane.LIVE, np.frombuffer(content, np.uint8))


async def test_a_body_is_decoded_and_scored(bench: Bench) -> None:
    await bench.accept()
    bench.scorers.gate.set()
    bench.socket.say(body(3))
    examined = await bench.socket.next(Examined)
    assert (examined.number, examined.media_type, examined.frames_total) == (3, "image/webp", 3)
    assert examined.values.tolist() == [[3.0, 3.0]]
    assert examined.readings == ((0, 100),)
    assert examined.hashes.tobytes() == bytes(range(256))


async def test_a_body_that_cannot_be_decoded_is_answered_as_such_in_few_printable_words(bench: Bench) -> None:
    await bench.accept()
    bench.scorers.failures[4] = UndecodableError("no \x1b picture " + 1000 * "x")
    bench.socket.say(body(4))
    failed = await bench.socket.next(Failed)
    assert failed.reason is UnscannedReason.UNDECODABLE
    assert failed.message.isprintable()
    assert len(failed.message) <= 500
