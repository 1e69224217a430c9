"""The simulation of workers that come and go: always the same, and its desktops as it says."""

from __future__ import annotations

import asyncio

import pytest
from numpy.random import default_rng

from benchmarks.remote_simulation import Cell, played, sessions
from benchmarks.virtual_time import JumpingLoop, play

HOUR_S, DAY_S = 3600.0, 86400.0
LONGEST_REBOOT_S = 180.0


def day_of(workers: int) -> Cell:
    cell = Cell()
    play(played(500, workers, [1, 0], cell, 60.0))
    return cell


def test_a_day_is_the_same_each_time():
    one, other = day_of(3), day_of(3)
    assert (one.outcomes, one.took_s, one.on) == (other.outcomes, other.took_s, other.on)


def test_more_workers_are_no_worse_and_nothing_is_late():
    few, many = day_of(1), day_of(20)
    for cell in (few, many):
        assert all(outcomes["late"] == 0 for outcomes in cell.outcomes.values())
        assert cell.outcomes["flood"].total() == 1200
    assert few.outcomes["users"].total() == many.outcomes["users"].total() > 0
    assert many.share("users", "unavailable") < few.share("users", "unavailable")
    assert many.share("flood", "scanned") > 99


def test_a_desktop_is_on_for_4_to_10_hours():
    for seed in range(200):
        of_day = [(max(each.begins_s, 0.0), min(each.ends_s, DAY_S)) for each in sessions(default_rng(seed))]
        on_s = sum(max(ends_s - begins_s, 0.0) for begins_s, ends_s in of_day)
        assert 4 * HOUR_S - LONGEST_REBOOT_S <= on_s <= 10 * HOUR_S + 1e-6


def test_a_loop_in_which_nothing_will_happen_says_so():
    async def forever():
        await asyncio.get_running_loop().create_future()

    loop = JumpingLoop()
    with pytest.raises(RuntimeError, match="deadlock"):
        loop.run_until_complete(forever())
    # So that the loop can be closed.
    [task] = asyncio.all_tasks(loop)
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
