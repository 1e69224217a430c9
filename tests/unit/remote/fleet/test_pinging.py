"""How often a worker is pinged, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.virtual_time import play
from serve_app.remote.fleet.link import Link
from serve_app.remote.fleet.pinging import Pinging
from serve_app.remote.messages import FromFront, Ping, Refused

EVERY_S, TIMES = 0.1, 50
PHASES, SECONDS = 50, 20


class Line:
    """A line that keeps what is sent."""

    unsent_bytes = 0

    def __init__(self) -> None:
        self.sent: list[FromFront] = []

    def send(self, message: FromFront) -> None:
        self.sent.append(message)

    def close(self, refused: Refused | None = None) -> None: ...


def pings_in_five_seconds(*, answers: bool) -> tuple[Sequence[FromFront], list[str]]:
    """Those to a worker that gets a picture ten times a second, and why it fell silent, if it did."""
    line, silences = Line(), list[str]()

    async def scene() -> None:
        link = Link(line, asyncio.get_running_loop().time)
        pinging = Pinging(link, lambda: False, silences.append, silences.append)
        for _ in range(TIMES):
            await asyncio.sleep(EVERY_S)
            pinging.ping()
            if answers:
                link.heard()
                link.ponged(len(line.sent))
        pinging.stop()

    play(scene())
    return line.sent, silences


def test_a_worker_whose_pictures_come_one_by_one_is_pinged_once_a_second():
    pings, silences = pings_in_five_seconds(answers=True)
    assert [type(each) for each in pings] == [Ping] * len(pings)
    assert len(pings) in range(4, 7)
    assert silences == []


def test_one_that_does_not_answer_falls_silent():
    pings, silences = pings_in_five_seconds(answers=False)
    assert len(pings) == 1
    assert silences == ["silent for 2 s"]


@pytest.mark.parametrize("early_s", [0.0, 0.0004, 0.0015])
def test_a_busy_worker_is_looked_at_once_a_second_whenever_timers_end(early_s):
    looks = 0

    def is_busy() -> bool:
        nonlocal looks
        looks += 1
        if looks > 2 * PHASES * SECONDS:
            raise RuntimeError("it looks without a pause")  # which would not let time pass
        return True

    async def scene() -> None:
        for phase in range(PHASES):
            await asyncio.sleep(phase / 97)
            link = Link(line := Line(), asyncio.get_running_loop().time)
            pinging = Pinging(link, is_busy, lambda _: None, lambda _: None)
            for _ in range(SECONDS):
                await asyncio.sleep(1)
                link.ponged(len(line.sent))
            pinging.stop()
            assert len(line.sent) in range(SECONDS - 1, SECONDS + 2)

    play(scene(), early_s)
    assert looks in range(PHASES * SECONDS, 2 * PHASES * SECONDS)
