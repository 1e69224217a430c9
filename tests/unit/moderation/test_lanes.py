"""Live pictures and background ones: the lane reaches both stages, and uploads pass whatever can be done later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Judged,
    Lane,
    UnscannedReason,
)

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED = (255, 0, 0)


def in_time(seconds: float = 8.0) -> Deadline:
    return Deadline.after(seconds)


async def test_the_lane_reaches_both_ports(service: Service, draw: Callable[..., bytes]) -> None:
    await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time()))
    await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time(), Lane.BACKGROUND))
    assert service.preprocessor.lanes == service.scorer.lanes == [Lane.LIVE, Lane.BACKGROUND]


async def test_only_so_many_background_pictures_are_looked_at_at_once_and_live_ones_pass_them(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(max_background_pictures=1)
    service.scorer.hangs = True
    first = asyncio.create_task(service.moderator.moderate(Body.of(draw("white", (16, 50))), Call("first", in_time())))
    await service.scorer.entered.wait()
    service.scorer.entered.clear()
    in_background = [
        asyncio.create_task(
            service.moderator.moderate(Body.of(draw("white", (16, 17 + n))), Call(f"b-{n}", in_time(), Lane.BACKGROUND))
        )
        for n in range(6)
    ]
    # One is looked at, four wait, and the sixth is told at once that there is no room.
    refused = await in_background[5]
    assert service.reason(refused) is UnscannedReason.OVERLOADED
    await service.scorer.entered.wait()
    live = asyncio.create_task(service.moderator.moderate(Body.of(draw("white", (16, 40))), Call("live", in_time())))
    service.scorer.entered.clear()
    await service.scorer.entered.wait()
    assert service.scorer.lanes == [Lane.LIVE, Lane.BACKGROUND, Lane.LIVE]
    service.scorer.release.set()
    decisions = await asyncio.gather(first, live, *in_background[:5])
    assert all(isinstance(each.outcome, Judged) for each in decisions)


async def test_a_background_caller_that_goes_away_gives_its_turn_back(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(max_background_pictures=1)
    service.scorer.hangs = True
    gone = asyncio.create_task(service.moderator.moderate(Body.of(draw()), Call("gone", in_time(), Lane.BACKGROUND)))
    await service.scorer.entered.wait()
    next_one = asyncio.create_task(
        service.moderator.moderate(Body.of(draw("white", (16, 20))), Call("next", in_time(), Lane.BACKGROUND))
    )
    gone.cancel()
    service.scorer.release.set()
    assert isinstance((await next_one).outcome, Judged)
