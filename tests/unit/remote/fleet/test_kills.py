"""Two equal workers at half of their load, and one is killed: no picture is refused, and none is late."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulated_worker import Machine
from benchmarks.virtual_time import play
from serve_app.domain import OverloadedError, UnavailableError
from tests.unit.remote.fleet.fleets import GPU, Front, slower

PASS_S = slower(4).pass_s
MACHINES = {
    "near": Machine(PASS_S, 0.001, 1e9),
    "far away": Machine(PASS_S, 0.15, 1e9),
    "at home": Machine(PASS_S, 0.02),
}
VIEWS_PER_S = {"near": 100, "far away": 100, "at home": 16}
DEADLINE_S = 10.0
LOAD_S = 12.0


async def at_half_load(front: Front, views: int, views_per_s: float, seed: int) -> None:
    """Ask for as much as one of two workers can do, by chance."""
    rng = np.random.default_rng(seed)
    ends_s = front.loop.time() + LOAD_S
    # A little less than a full one can do, or chance alone makes a queue without end.
    while front.loop.time() < ends_s:
        front.ask(views, deadline_s=DEADLINE_S)
        await asyncio.sleep(float(rng.exponential(views / (0.95 * views_per_s))))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    machine=st.sampled_from(list(MACHINES)),
    views=st.sampled_from([1, 3, 5]),
    trial_s=st.tuples(st.floats(0.0, 2.0), st.floats(0.0, 2.0)),
    killed_s=st.floats(0.0, LOAD_S),
    seed=st.integers(0, 1000),
)
def test_a_kill_at_any_moment_costs_no_picture(machine, views, trial_s, killed_s, seed):
    async def scene():
        async with Front(MACHINES[machine], MACHINES[machine]) as front:
            for member, ends_s in zip(front.members, trial_s, strict=True):
                member.is_on_trial = True
                front.loop.call_later(ends_s, setattr, member, "is_on_trial", False)
            front.loop.call_later(killed_s, front.workers[0].lose)
            await at_half_load(front, views, VIEWS_PER_S[machine], seed)
            outcomes = await front.answers()
            assert {str(each.error) for each in outcomes if each.error} == set()
            assert max(each.took_s for each in outcomes) <= DEADLINE_S

    play(scene())


def test_pictures_wait_for_a_worker_on_trial():
    async def scene():
        async with Front(GPU) as front:
            front.members[0].is_on_trial = True
            asked = await front.ask_at(20, 3)
            front.members[0].is_on_trial = False
            await front.answers()
            assert all(each.scores for each in asked)

    play(scene())


def test_pictures_that_wait_for_a_worker_on_trial_fail_with_it():
    async def scene():
        async with Front(GPU) as front:
            front.members[0].is_on_trial = True
            asked = await front.ask_at(20, 3)
            front.workers[0].lose()
            await front.answers()
            assert all(isinstance(each.error, UnavailableError) for each in asked)
            assert {each.ended_s for each in asked} == {front.loop.time()}

    play(scene())


def test_no_more_pictures_wait_for_a_worker_on_trial_than_it_can_do():
    async def scene():
        async with Front(GPU) as front:
            front.members[0].is_on_trial = True
            asked = [front.ask(16) for _ in range(400)]  # of 40 ms each
            await asyncio.sleep(0)
            front.members[0].is_on_trial = False
            await front.answers()
            refused = [each for each in asked if each.error]
            assert 150 <= len(refused) <= 240
            assert all(isinstance(each.error, OverloadedError) and each.took_s == 0 for each in refused)

    play(scene())
