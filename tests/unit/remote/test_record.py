"""What becomes of workers is logged, counted and shown, and never more often than it should."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from serve_app.domain import Call, Deadline, LabelScores, ModelIdentity, UnscannedReason, ViewPlace, Views
from serve_app.domain.workers import StandingIn, WorkersHealth, WorkerState
from serve_app.remote.fleet import Fleet, Member
from serve_app.remote.messages import (
    PROTOCOL,
    Failed,
    FromFront,
    Hello,
    Leaving,
    Offer,
    Refusal,
    Refused,
    Scored,
    Work,
)
from serve_app.remote.record import STRANGER, FleetRecord

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
MODEL = ModelIdentity("fake", "a" * 64, 8)


@dataclass
class SilentLine:
    """A connection on which nothing comes back by itself."""

    unsent_bytes: int = 0
    sent: list[FromFront] = field(default_factory=list)
    closed_with: list[Refused | None] = field(default_factory=list)

    def send(self, message: FromFront) -> None:
        self.sent.append(message)

    def close(self, refused: Refused | None = None) -> None:
        self.closed_with.append(refused)

    @property
    def works(self) -> list[Work]:
        return [each for each in self.sent if isinstance(each, Work)]


class Recorded:
    """A fleet and its record, whose clocks stand still until a test moves them."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.standing_in = StandingIn.SERVICE
        self.fleet = Fleet([("label",)], clock=lambda: self.now_s, max_workers=2)
        self.record = FleetRecord(
            self.fleet,
            standing_in=lambda: self.standing_in,
            clock=lambda: self.now_s,
            wall_clock=lambda: NOON + timedelta(seconds=self.now_s - 1000),
        )
        self.lines: dict[str, SilentLine] = {}

    def join(self, owner: str, name: str = "desktop") -> Member:
        line = SilentLine()
        hello = Hello(PROTOCOL, "1.2.3", name, "cuda: a card", (Offer(MODEL, {1: 0.01}),))
        member = self.fleet.join(hello, line, owner)
        self.lines[member.name] = line
        return member

    async def ask(self, request_id: str = "r-1") -> asyncio.Task[LabelScores]:
        pixels = np.zeros((1, 8, 8, 3), np.uint8)
        views = Views(pixels, (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),), "image/png", 1, 1)
        call = Call(request_id, Deadline(self.now_s + 8, lambda: self.now_s))
        asked = asyncio.create_task(self.fleet.score(0, views, call))
        await self.settle()
        return asked

    @staticmethod
    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def scored(work: Work) -> Scored:
    return Scored(work.number, np.full((1, 1), 0.5, np.float32), 1.0, 0.01)


@pytest.fixture
async def recorded() -> AsyncIterator[Recorded]:
    made = Recorded()
    yield made
    for member in made.fleet.members:
        member.lost("the test ends")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


async def test_who_comes_and_goes_is_shown(recorded: Recorded) -> None:
    assert await recorded.record.connected() == []
    anna = recorded.join("anna")
    recorded.now_s += 60
    recorded.join("ben").is_on_trial = True
    first, second = await recorded.record.connected()
    assert (first.name, first.owner, first.state, first.device, first.version) == (
        *("anna/desktop", "anna", WorkerState.TRUSTED),
        *("cuda: a card", "1.2.3"),
    )
    assert (first.models, first.since, first.pictures) == ((str(MODEL),), NOON, 0)
    assert (second.name, second.state, second.since) == (
        *("ben/desktop", WorkerState.ON_TRIAL),
        NOON + timedelta(minutes=1),
    )
    anna.received(Leaving())
    assert recorded.record.states == {"on trial": 1, "trusted": 0, "silent": 0, "leaving": 1}
    anna.lost("the connection was closed")
    assert [each.name for each in await recorded.record.connected()] == ["ben/desktop"]


async def test_pictures_are_counted_for_each_worker(recorded: Recorded) -> None:
    anna = recorded.join("anna")
    asked = await recorded.ask()
    assert recorded.record.stats.in_flight == 1
    anna.received(scored(recorded.lines["anna/desktop"].works[0]))
    assert (await asked).worker == "anna/desktop"
    (shown,) = await recorded.record.connected()
    assert (shown.pictures, shown.in_flight) == (1, 0)


async def test_a_picture_that_is_handed_over_is_logged_with_its_request(
    recorded: Recorded, lines: pytest.LogCaptureFixture
) -> None:
    members = {each.name: each for each in (recorded.join("anna"), recorded.join("ben"))}
    asked = await recorded.ask()
    (first,) = [name for name, line in recorded.lines.items() if line.works]
    work = recorded.lines[first].works[0]
    members[first].received(Failed(work.number, UnscannedReason.UNAVAILABLE, "the device is gone", 0.0))
    await recorded.settle()
    (second,) = recorded.lines.keys() - {first}
    members[second].received(scored(recorded.lines[second].works[0]))
    assert (await asked).worker == second
    assert recorded.record.handed_over_pictures == 1
    told = lines.records[-1].getMessage()
    assert "request r-1: the picture is handed over" in told
    assert first in told
    assert "the device is gone" in told


async def test_workers_that_are_not_taken_are_counted_by_the_reason(recorded: Recorded) -> None:
    for _ in range(100):
        recorded.record.stranger_refused()
    recorded.record.refused(Refusal.FULL)
    recorded.record.refused(Refusal.MODEL)
    recorded.record.refused(Refusal.FULL)
    counts = recorded.record.refused_workers
    assert counts == dict.fromkeys(Refusal, 0) | {STRANGER: 100, "full": 2, "model": 1}


async def test_for_how_long_no_worker_is_there_is_known(recorded: Recorded) -> None:
    record = recorded.record
    assert (await record.health(), record.absent_s) == (WorkersHealth(standing_in=StandingIn.SERVICE), 0.0)
    assert not record.is_fallback_scoring
    record.switched(False)
    record.switched(True)
    recorded.now_s += 90
    record.switched(True)
    assert await record.health() == WorkersHealth(0, NOON, standing_in=StandingIn.SERVICE)
    assert (record.absent_s, record.is_fallback_scoring) == (90.0, True)
    recorded.standing_in = StandingIn.NOBODY
    assert (record.absent_s, record.is_fallback_scoring) == (90.0, False)
    recorded.standing_in = StandingIn.SERVICE
    record.switched(False)
    assert await record.health() == WorkersHealth(standing_in=StandingIn.SERVICE)
    assert (record.absent_s, record.is_fallback_scoring) == (0.0, False)


async def test_since_when_nobody_looks_at_uploads_is_known(recorded: Recorded) -> None:
    recorded.record.neglected(False)
    assert (await recorded.record.health()).unscanned_since is None
    recorded.record.neglected(True)
    recorded.now_s += 90
    recorded.record.neglected(True)
    assert (await recorded.record.health()).unscanned_since == NOON
    recorded.record.neglected(False)
    assert (await recorded.record.health()).unscanned_since is None


async def test_a_worker_that_an_admin_sends_away_is_told_and_ends(recorded: Recorded) -> None:
    recorded.join("anna")
    assert not await recorded.record.dismiss("anna", "alice")
    assert await recorded.record.dismiss("anna/desktop", "alice")
    (refused,) = recorded.lines["anna/desktop"].closed_with
    assert refused is not None
    assert refused.reason.is_final
    assert "the admin alice of the front" in refused.message
    assert recorded.fleet.members == ()
