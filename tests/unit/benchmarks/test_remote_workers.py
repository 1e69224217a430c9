"""Workers of a set speed: what they answer first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from benchmarks.remote_parts.workers import work_at
from benchmarks.virtual_time import play
from serve_app.domain import Lane
from serve_app.remote.messages import FromFront, FromWorker, Scored, Work


class Connected:
    """A front that sends works of one view at once, and leaves when all are answered."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        pixels, no_faces = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)
        self.works = [Work(number, 0, 8.0, lane, pixels, no_faces) for number, lane in enumerate(lanes, 1)]
        self.answered: list[int] = []
        self.all_answered = asyncio.Event()
        self.left = list(self.works)

    async def received(self) -> FromFront | None:
        if self.left:
            await asyncio.sleep(0)  # the device begins with the first one before the second one comes
            return self.left.pop(0)
        await self.all_answered.wait()
        return None

    def scored(self, work: Work, held_s: float) -> Scored:
        return Scored(work.number, np.zeros((1, 1), np.float32), 1.0, held_s)

    async def send(self, message: FromWorker) -> None:
        assert isinstance(message, Scored)
        self.answered.append(message.number)
        if len(self.answered) == len(self.works):
            self.all_answered.set()


def test_a_live_picture_waits_for_the_one_that_is_computed_and_for_no_other_of_the_background() -> None:
    async def scene() -> list[int]:
        front = Connected([Lane.BACKGROUND, Lane.BACKGROUND, Lane.LIVE, Lane.BACKGROUND, Lane.LIVE])
        assert await work_at(front, 0.05) == 5  # type: ignore[arg-type]
        return front.answered

    assert play(scene()) == [1, 3, 5, 2, 4]
