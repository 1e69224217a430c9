"""A front that is slow itself, or a link that is long, does not take the worker or the link for slow."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from benchmarks.simulated_worker import Machine, SimulatedWorker
from benchmarks.virtual_time import play
from serve_app.remote.fleet.throughput import Throughput

from .fleets import Front

CARD = {1: 0.005, 2: 0.005, 4: 0.006, 8: 0.0075, 16: 0.010, 32: 0.016, 64: 0.026}
"""ViT-L-14 on an H100: 2,400 views a second."""

IN_PROPORTION = {size: 0.003 * size for size in (1, 2, 4, 8, 16)}
FAST_LINK = 1e9
DECODED_WITHIN_S = 0.05
SECONDS = 10.0


class ReadSeldom(SimulatedWorker):
    """Its front reads answers every ``every_s`` alone, as an event loop does that has too much to do."""

    every_s = 0.0

    def _received(self, message) -> None:
        read_s = self.every_s - self._loop.time() % self.every_s if self.every_s else 0.0
        self._loop.call_later(read_s, super()._received, message)


async def outcomes_of(machine: Machine, connections: int, every_s: float) -> Counter[str]:
    """Of pictures that come over ``connections`` which never rest."""
    async with Front() as front:
        loop, noise = asyncio.get_running_loop(), random.Random(1)
        worker = ReadSeldom(machine)
        front.join(worker=worker)
        # While nothing is to be done yet, the round trip is measured as it is.
        await front.measure()
        worker.every_s = every_s
        end_s = loop.time() + SECONDS

        async def connection() -> None:
            while loop.time() < end_s:
                await asyncio.sleep(noise.random() * DECODED_WITHIN_S)
                front.ask(count=1)
                await front.tasks[-1]

        await asyncio.gather(*(connection() for _ in range(connections)))
        return Counter("scored" if each.error is None else type(each.error).__name__ for each in front.outcomes)


@pytest.mark.parametrize("connections", [64, 128])
@pytest.mark.parametrize("every_s", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("pass_s", [CARD, IN_PROPORTION], ids=["card", "passes in proportion"])
def test_nothing_is_refused_while_the_front_reads_seldom(pass_s, every_s: float, connections: int) -> None:
    outcomes = play(outcomes_of(Machine(pass_s, 0.0005, FAST_LINK), connections, every_s))
    assert set(outcomes) == {"scored"}


@pytest.mark.parametrize("one_way_s", [0.02, 0.15])
@pytest.mark.parametrize("pass_s", [CARD, IN_PROPORTION], ids=["card", "passes in proportion"])
def test_nothing_is_refused_over_a_long_link(pass_s, one_way_s: float) -> None:
    outcomes = play(outcomes_of(Machine(pass_s, one_way_s, FAST_LINK), 64, 0.0))
    assert set(outcomes) == {"scored"}


def test_what_was_done_longer_ago_does_not_count() -> None:
    now_s = 0.0
    throughput = Throughput(lambda: now_s)
    assert throughput.per_s == 0.0
    for _ in range(10):
        throughput.add(4.0)
        now_s += 0.5
    assert throughput.per_s == 8.0
    now_s += 60.0
    throughput.add(1.0)
    assert throughput.per_s == 0.0


def test_slow_passes_are_not_counted_beyond_the_time_that_they_took() -> None:
    """Two passes of a second each, seen one second apart, are one pass a second."""
    now_s = 0.0
    throughput = Throughput(lambda: now_s)
    for _ in range(6):
        for _ in range(8):
            throughput.add(1.0)
            now_s += 1e-4
        now_s = round(now_s) + 1.0
        assert throughput.per_s <= 8.0
    assert throughput.per_s == pytest.approx(8.0, rel=0.01)
