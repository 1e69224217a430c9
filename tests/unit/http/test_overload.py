"""A full service: what is refused before it is read, and what is remembered all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from serve_app.domain import Deadline, OverloadedError, UnscannedReason
from serve_app.http.body import read_body
from serve_app.moderation import BodyMemory
from serve_app.wire import FULL_FOR_HEADER, REFUSED_HEADER

if TYPE_CHECKING:
    from tests.unit.conftest import Service


async def full(service: Service, draw: Callable[..., bytes], count: int = 64) -> list[asyncio.Task[httpx.Response]]:
    """As many pictures inside as are let in; each hangs in the preprocessor."""
    service.preprocessor.hangs = True
    inside = [asyncio.create_task(service.scan(draw("white", (16, 16 + number)))) for number in range(count)]
    while service.preprocessor.calls < count:
        service.preprocessor.entered.clear()
        await service.preprocessor.entered.wait()
    return inside


async def test_a_full_service_refuses_before_it_reads_the_body(service: Service, draw: Callable[..., bytes]) -> None:
    inside = await full(service, draw)
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield draw("white")

    response = await service.scan(body())
    assert service.answered(response, 503)["reason"] == "overloaded"
    assert response.headers["retry-after"] == "1", "it is full for 0.4 s"
    assert "connection" not in response.headers
    assert int(response.headers[FULL_FOR_HEADER]) == round(service.moderator.full_for_s * 1e3) > 0
    assert read == 0
    service.preprocessor.release.set()
    assert {each.status_code for each in await asyncio.gather(*inside)} == {200}
    service.answered(await service.scan(draw("white", (16, 100))), 200)


async def test_a_full_service_waits_for_no_body_that_is_held_back(service: Service, draw: Callable[..., bytes]) -> None:
    inside = await full(service, draw)
    response = await service.scan(service.unreadable(), headers={"Expect": "100-continue"})
    assert service.answered(response, 503)["reason"] == "overloaded"
    # A sender that is refused need not send the body, and what it sends next would be taken for it.
    assert response.headers["connection"] == "close"
    service.preprocessor.release.set()
    await asyncio.gather(*inside)


async def test_what_a_full_service_lets_through_is_remembered(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(on_unscanned="accept")
    inside = await full(service, draw)
    response = await service.scan(draw("white", (16, 100)))
    assert service.answered(response, 200)["reason"] == "overloaded"
    assert FULL_FOR_HEADER not in response.headers, "the front end would refuse what is to be let through"
    assert [service.reason(each) for each in service.ledger.recorded] == [UnscannedReason.OVERLOADED]
    service.preprocessor.release.set()
    await asyncio.gather(*inside)


async def test_a_stage_that_refuses_says_nothing_of_the_next_picture(
    service: Service, draw: Callable[..., bytes]
) -> None:
    service.scorer.fault = OverloadedError("12 views are ahead")
    response = await service.scan(draw("white"))
    assert service.answered(response, 503)["reason"] == "overloaded"
    assert FULL_FOR_HEADER not in response.headers


@pytest.mark.parametrize(
    ("told", "counted"),
    [("20", 20), ("0", 0), ("-1", 0), ("many", 0), ("", 0), ("999999", 100_000), ("9" * 30, 0), ("²", 0)],
)
async def test_what_the_front_end_refused_counts_as_demand(
    make_service: Callable[..., Service],
    draw: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    told: str,
    counted: int,
) -> None:
    service = make_service(has_front_end=True)
    caplog.set_level("INFO", "serve_app.http.intake")
    service.answered(await service.scan(draw("white"), headers={REFUSED_HEADER.encode(): told.encode()}), 200)
    assert service.admission.arrivals == [(True, counted)]
    assert ("refused by the front end" in caplog.text) == (counted > 0)


async def test_without_a_front_end_nobody_is_believed_to_be_one(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "serve_app.http.intake")
    for path, status in ((f"/api/v1/scan/{service.secret}", 200), ("/api/v1/scan/wrong", 401)):
        service.answered(await service.scan(draw("white"), path, headers={REFUSED_HEADER: "20"}), status)
    assert service.admission.arrivals == [(True, 0), (False, 0)]
    assert "refused by the front end" not in caplog.text


async def test_what_was_refused_before_a_stranger_is_counted_as_a_strangers(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(has_front_end=True)
    wrong = "/api/v1/scan/wrong"
    service.answered(await service.scan(draw("white"), wrong, headers={REFUSED_HEADER: "20"}), 401)
    assert service.admission.arrivals == [(False, 20)]


# Memory


async def test_a_body_that_has_no_room_in_memory_is_refused_before_it_is_read(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(limits={"max_inside_bytes": 2_000_000, "max_body_bytes": 2_000_000})
    service.preprocessor.hangs = True
    inside = asyncio.create_task(service.scan(draw("white", (800, 700), compress_level=0)))
    await service.preprocessor.entered.wait()
    response = await service.scan(service.unreadable(), headers={"content-length": "700000"})
    assert service.answered(response, 503)["reason"] == "overloaded"
    assert response.headers["connection"] == "close"
    assert FULL_FOR_HEADER not in response.headers, "smaller pictures may have room"
    small = asyncio.create_task(service.scan(draw("white")))
    service.preprocessor.release.set()
    assert [(await each).status_code for each in (inside, small)] == [200, 200]


async def test_of_bodies_that_outgrow_the_memory_together_the_oldest_are_read_to_their_ends(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    """Twelve senders of 1.7 MB in chunks, none of whose length is known, and memory for four."""
    service = make_service(limits={"max_inside_bytes": 8_000_000, "max_body_bytes": 2_000_000})
    pictures = [draw("white", (800, 700 + number), compress_level=0) for number in range(12)]
    all_began = asyncio.Event()
    began = 0

    async def sent(picture: bytes) -> AsyncIterator[bytes]:
        nonlocal began
        for at in range(0, len(picture), 8192):
            yield picture[at : at + 8192]
            if at == 0:
                began += 1
                if began == 8:
                    all_began.set()
                await all_began.wait()
            await asyncio.sleep(0)

    responses = await asyncio.gather(*(service.scan(sent(picture)) for picture in pictures))
    statuses = [response.status_code for response in responses]
    assert set(statuses) == {200, 503}
    assert statuses[:4] == [200] * 4, "the oldest"
    service.answered(await service.scan(pictures[-1]), 200)


async def test_a_body_whose_time_is_just_over_makes_room_without_a_fault() -> None:
    memory = BodyMemory(2_000_000)
    with memory.reserve(None) as older, memory.reserve(None) as younger:
        older.grow(1)
        younger.grow(1)

        async def receive() -> Message:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                older.grow(2_000_000)  # while the other body's time-out is on its way
                raise
            raise AssertionError("never comes")

        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        with pytest.raises(OverloadedError):
            await read_body(request, 2_000_000, Deadline.after(0.02, lambda: 0.0), younger)
        assert (older.is_refused, older.reserved_bytes) == (False, 2_000_000)
