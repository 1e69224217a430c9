"""How often a worker is pinged, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.virtual_time import play
from serve_app.remote.fleet.link import Link
from serve_app.remote.fleet.pinging import Pinging
from serve_app.remote.messages import FromFront, Ping, Refused

EVERY_S, TIMES = 0.1, 50


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
