"""An answer begins after the end of a body, and waits for none that is long, slow, or has not been asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from serve_app.http import body_before_answer
from serve_app.http.body_before_answer import BodyBeforeAnswer
from serve_app.wire import FULL_FOR_HEADER

DEADLINE_S = 80.0
CHUNKED = ((b"transfer-encoding", b"chunked"),)


class Exchange:
    """A request whose chunks come as fast as they are read, and then no more; and what happened in which order."""

    def __init__(self, chunks: list[bytes], *, is_whole: bool = True, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        self.events: list[str | int] = []
        self._chunks = chunks
        self._messages = self._coming(is_whole)

    def _coming(self, is_whole: bool) -> Iterator[Message]:
        for number, chunk in enumerate(self._chunks, 1):
            is_last = is_whole and number == len(self._chunks)
            yield {"type": "http.request", "body": chunk, "more_body": not is_last}

    async def receive(self) -> Message:
        message = next(self._messages, None)
        if message is None:
            self.events.append("waits")
            await asyncio.Event().wait()
            raise AssertionError
        self.events.append(len(message["body"]))
        return message

    async def send(self, message: Message) -> None:
        self.events.append(message["type"].removeprefix("http.response."))

    async def answered(self, reads: int = 0, deadline_s: float = DEADLINE_S) -> list[str | int]:
        """Of an application that reads so many chunks before it answers."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(reads):
                await receive()
            self.events.append("refuses")
            await Response("no", 401)(scope, receive, send)

        await BodyBeforeAnswer(app, deadline_s)(self.scope, self.receive, self.send)
        return self.events


@given(sizes=st.lists(st.integers(1, 50_000), min_size=1, max_size=15), data=st.data())
def test_whatever_the_application_has_read_the_rest_comes_before_the_answer(
    sizes: list[int], data: st.DataObject
) -> None:
    reads = data.draw(st.integers(0, len(sizes)))
    exchange = Exchange([bytes(size) for size in sizes], headers=CHUNKED)
    events = asyncio.run(exchange.answered(reads))
    assert events == [*sizes[:reads], "refuses", *sizes[reads:], "start", "body"]


@given(sizes=st.lists(st.integers(50_000, 400_000), min_size=20, max_size=30))
def test_of_a_long_body_a_megabyte_is_waited_for(sizes: list[int]) -> None:
    events = asyncio.run(Exchange([bytes(size) for size in sizes], headers=CHUNKED).answered())
    read = [event for event in events if isinstance(event, int)]
    assert sum(read[:-1]) < 1_000_000 <= sum(read)
    assert events == ["refuses", *read, "start", "body"]


async def test_what_does_not_come_is_waited_for_a_moment() -> None:
    exchange = Exchange([b"some"], is_whole=False, headers=CHUNKED)
    assert await exchange.answered(deadline_s=0.08) == ["refuses", 4, "waits", "start", "body"]


async def test_an_answer_that_is_late_anyhow_waits_for_nothing() -> None:
    exchange = Exchange([b"some"], is_whole=False, headers=CHUNKED)

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await receive()
        exchange.events.append("refuses")
        await Response("no", 503)(scope, receive, send)

    await BodyBeforeAnswer(late, 0.08)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.events == [4, "waits", "refuses", "start", "body"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((), id="no body"),
        pytest.param(((b"content-length", b"0"),), id="an empty body"),
        pytest.param((*CHUNKED, (b"expect", b"100-continue")), id="a body that waits to be asked for"),
    ],
)
async def test_what_is_not_on_its_way_is_not_waited_for(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    exchange = Exchange([], is_whole=False, headers=headers)
    assert await exchange.answered() == ["refuses", "start", "body"]


async def test_a_body_that_has_been_asked_for_is_on_its_way() -> None:
    exchange = Exchange([b"some", b"more"], headers=(*CHUNKED, (b"expect", b"100-continue")))
    assert await exchange.answered(reads=1) == [4, "refuses", 4, "start", "body"]


async def test_strangers_who_send_no_bodies_do_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_before_answer, "_MOST_WAITING", 2)
    exchanges = [Exchange([b"some"], is_whole=False, headers=CHUNKED) for _ in range(5)]

    shared = BodyBeforeAnswer(Response("no", 401), DEADLINE_S)
    asked = [asyncio.create_task(shared(each.scope, each.receive, each.send)) for each in exchanges]
    await asyncio.wait(asked[2:])
    assert [each.events for each in exchanges] == [[4, "waits"]] * 2 + [["start", "body"]] * 3
    for each in asked[:2]:
        each.cancel()
    await asyncio.wait(asked[:2])
    whole = Exchange([b"some"], headers=CHUNKED)
    await shared(whole.scope, whole.receive, whole.send)
    assert whole.events == [4, "start", "body"], "who has left has made room"


@pytest.mark.parametrize(("full_for_ms", "most_ms"), [(5, 0), (60_000, 59_990)])
async def test_a_front_end_is_told_for_how_long_the_service_is_full_from_when_it_hears_of_it(
    full_for_ms: int, most_ms: int
) -> None:
    full = Response("full", 503, {FULL_FOR_HEADER: str(full_for_ms), "Retry-After": "30"})
    seen: dict[str, str] = {}

    async def send(message: Message) -> None:
        seen.update((name.decode(), value.decode()) for name, value in message.get("headers", ()))

    exchange = Exchange([b"some"], is_whole=False, headers=CHUNKED)
    await BodyBeforeAnswer(full, 0.08)(exchange.scope, exchange.receive, send)
    assert most_ms - 30_000 < int(seen[FULL_FOR_HEADER.lower()]) <= most_ms
    assert seen["retry-after"] == "30"


async def test_a_sender_that_has_left_is_not_waited_for() -> None:
    exchange = Exchange([], headers=CHUNKED)
    sent: list[str] = []

    async def receive() -> Message:
        assert not sent, "nothing comes after a disconnect"
        sent.append("disconnect")
        return {"type": "http.disconnect"}

    await BodyBeforeAnswer(Response("no", 401), DEADLINE_S)(exchange.scope, receive, exchange.send)
    assert exchange.events == ["start", "body"]
