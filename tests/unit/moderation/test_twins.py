"""The same bytes in flight are examined once, and no caller depends on another one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from benchmarks.virtual_time import play
from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Decision,
    Judged,
    Lane,
    OnTruncated,
    OverloadedError,
    TruncatedError,
    UndecodableError,
    UnscannedReason,
    Views,
)
from serve_app.media import preprocess

if TYPE_CHECKING:
    from tests.unit.conftest import Service


def in_time(seconds: float = 30.0) -> Deadline:
    return Deadline.after(seconds)


class Callers:
    """Callers with the same bytes, each a task."""

    def __init__(self, service: Service, content: bytes) -> None:
        self.service = service
        self.body = Body.of(content)
        self.count = 0

    async def comes(self, lane: Lane = Lane.LIVE, deadline: Deadline | None = None) -> asyncio.Task[Decision]:
        """A caller that waits now, for its own examination or for another one's."""
        self.count += 1
        work = self.service.moderator.moderate(self.body, Call(f"r-{self.count}", deadline or in_time(), lane))
        task = asyncio.create_task(work)
        await self.everybody_waits()
        return task

    async def everybody_waits(self) -> None:
        """Each task has run as far as it can: no step of them takes more turns of the event loop."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def hang(self, lane: Lane = Lane.LIVE) -> asyncio.Task[Decision]:
        """The first caller, whose examination hangs in the preprocessor."""
        self.service.preprocessor.hangs = True
        first = await self.comes(lane)
        assert self.service.preprocessor.calls == 1
        return first


@pytest.fixture
def callers(service: Service, draw: Callable[..., bytes]) -> Callers:
    return Callers(service, draw("white"))


def is_examined(decision: Decision) -> bool:
    return isinstance(decision.outcome, Judged)


@pytest.mark.parametrize("lane", list(Lane))
async def test_twins_are_examined_once_and_each_has_a_decision(service: Service, callers: Callers, lane: Lane) -> None:
    tasks = [await callers.hang(lane)] + [await callers.comes(lane) for _ in range(9)]
    service.preprocessor.release.set()
    decisions = await asyncio.gather(*tasks)
    assert (service.preprocessor.calls, service.scorer.calls) == (1, 1)
    assert all(map(is_examined, decisions))
    assert {each.request_id for each in service.ledger.recorded} == {f"r-{number}" for number in range(1, 11)}


async def test_a_follower_keeps_its_own_deadline(service: Service, callers: Callers) -> None:
    first = await callers.hang()
    late = await (await callers.comes(deadline=in_time(0.05)))
    assert (service.reason(late), first.done()) == (UnscannedReason.DEADLINE, False)
    service.preprocessor.release.set()
    assert is_examined(await first)


def test_a_follower_survives_the_deadline_of_the_first(service: Service, callers: Callers) -> None:
    async def scene() -> None:
        service.preprocessor.hangs = True
        first = await callers.comes(deadline=Deadline.after(0.05, asyncio.get_running_loop().time))
        follower = await callers.comes()
        assert service.reason(await first) is UnscannedReason.DEADLINE
        service.preprocessor.release.set()
        assert is_examined(await follower)
        assert service.preprocessor.calls == 2

    play(scene())


async def test_a_follower_survives_the_disconnect_of_the_first(service: Service, callers: Callers) -> None:
    first = await callers.hang()
    follower = await callers.comes()
    first.cancel()
    await callers.everybody_waits()
    assert first.cancelled()
    service.preprocessor.release.set()
    assert is_examined(await follower)
    assert service.preprocessor.calls == 1, "the examination went on"


async def test_nobody_examines_for_callers_that_have_all_gone(service: Service, callers: Callers) -> None:
    tasks = [await callers.hang(), await callers.comes()]
    for task in tasks:
        task.cancel()
    await callers.everybody_waits()
    service.preprocessor.release.set()
    assert is_examined(await (await callers.comes()))
    assert (service.preprocessor.calls, service.scorer.calls) == (2, 1)


@pytest.mark.parametrize("fault", [OverloadedError("full"), RuntimeError("broken")])
async def test_a_failure_that_is_not_in_the_bytes_is_the_first_callers_alone(
    service: Service, callers: Callers, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def fail_once(content: bytes, view_size_px: int, call: Call, *_: object) -> Views:
        is_first = service.preprocessor.calls == 0
        await service.preprocessor.enter(call.lane)
        if is_first:
            raise fault
        return preprocess(content, view_size_px, service.preprocessor.limits, call.deadline)

    monkeypatch.setattr(service.preprocessor, "preprocess", fail_once)
    first = await callers.hang()
    followers = [await callers.comes() for _ in range(3)]
    service.preprocessor.release.set()
    assert not is_examined(await first)
    assert all(map(is_examined, await asyncio.gather(*followers)))
    assert service.preprocessor.calls == 2, "one of the followers examines, for all of them"


async def test_bytes_that_cannot_be_read_are_so_for_all(service: Service, callers: Callers) -> None:
    tasks = [await callers.hang(), await callers.comes(), await callers.comes()]
    service.preprocessor.fault = UndecodableError("broken")
    service.preprocessor.release.set()
    assert {service.reason(each) for each in await asyncio.gather(*tasks)} == {UnscannedReason.UNDECODABLE}
    assert service.preprocessor.calls == 1


async def test_a_live_caller_lifts_a_background_one_into_its_lane(service: Service, callers: Callers) -> None:
    background = await callers.hang(Lane.BACKGROUND)
    live = await callers.comes(Lane.LIVE)
    assert service.preprocessor.lanes == [Lane.BACKGROUND, Lane.LIVE]
    service.preprocessor.release.set()
    assert all(map(is_examined, await asyncio.gather(background, live)))
    assert (service.preprocessor.calls, service.scorer.lanes) == (2, [Lane.LIVE])


async def test_a_background_caller_survives_the_live_one_that_lifted_it(service: Service, callers: Callers) -> None:
    background = await callers.hang(Lane.BACKGROUND)
    live = await callers.comes(Lane.LIVE)
    live.cancel()
    await callers.everybody_waits()
    service.preprocessor.release.set()
    assert is_examined(await background)


async def test_a_live_caller_does_not_wait_behind_the_gate_of_the_background(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(max_background_pictures=1)
    other, same = Callers(service, draw("white", (20, 20))), Callers(service, draw("white"))
    # Beside an upload, one is let through.
    upload = await Callers(service, draw("white", (24, 24))).hang(Lane.LIVE)
    ahead = await other.comes(Lane.BACKGROUND)
    waits_at_the_gate = await same.comes(Lane.BACKGROUND)
    assert service.preprocessor.lanes == [Lane.LIVE, Lane.BACKGROUND]
    live = await same.comes(Lane.LIVE)
    assert service.preprocessor.lanes == [Lane.LIVE, Lane.BACKGROUND, Lane.LIVE]
    service.preprocessor.release.set()
    assert all(map(is_examined, await asyncio.gather(upload, ahead, waits_at_the_gate, live)))


# A cut file is the one thing that the lanes treat differently


@pytest.fixture
def cuts(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service that takes every picture for a cut one, and scans those of the background."""
    on_truncated = service.settings.truncated

    async def see(content: bytes, view_size_px: int, call: Call, *_: object) -> Views:
        await service.preprocessor.enter(call.lane)
        if on_truncated[call.lane] is OnTruncated.REFUSE:
            raise TruncatedError("its end is missing")
        views = preprocess(content, view_size_px, service.preprocessor.limits, call.deadline)
        return dataclasses.replace(views, is_truncated=True)

    monkeypatch.setattr(service.preprocessor, "preprocess", see)
    return service


async def test_what_is_refused_live_is_scanned_in_the_background(cuts: Service, draw: Callable[..., bytes]) -> None:
    callers = Callers(cuts, draw("white"))
    live = await callers.hang(Lane.LIVE)
    background = await callers.comes(Lane.BACKGROUND)
    assert cuts.preprocessor.calls == 1, "it may be whole"
    cuts.preprocessor.release.set()
    refused, scanned = await asyncio.gather(live, background)
    assert (cuts.reason(refused), refused.kept, refused.is_pending) == (UnscannedReason.TRUNCATED, False, False)
    assert isinstance(scanned.outcome, Judged)
    assert (scanned.outcome.is_truncated, scanned.kept, scanned.is_pending) == (True, True, False)


async def test_what_was_scanned_of_a_cut_file_is_not_recalled_for_an_upload(
    cuts: Service, draw: Callable[..., bytes]
) -> None:
    callers = Callers(cuts, draw("white"))
    assert is_examined(await (await callers.comes(Lane.BACKGROUND)))
    live = await (await callers.comes(Lane.LIVE))
    assert (cuts.reason(live), live.kept) == (UnscannedReason.TRUNCATED, False)
