"""Whatever workers do: each picture has one outcome, by its deadline, and never another one's scores."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulated_worker import Machine, SimulatedWorker
from benchmarks.virtual_time import play
from serve_app.domain import Lane
from tests.unit.remote.fleet.fleets import GPU, Front

EPSILON_S = 1e-6

MACHINES = st.builds(
    lambda slowness, one_way_s, bytes_per_s: Machine(
        {size: seconds * slowness for size, seconds in GPU.pass_s.items()}, one_way_s, bytes_per_s
    ),
    st.sampled_from([0.3, 1.0, 5.0, 100.0]),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.sampled_from([2e5, 5e6, 1e9]),
)
DEEDS = st.sampled_from(["lose", "cut", "mend", "pause", "go on", "slow", "fast", "leave", "join", "trial", "trusted"])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.005, 0.1, 1.0, 5.0]), st.none()),
        st.tuples(
            st.just("ask"),
            st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([0.05, 1.0, 8.0])),
            st.tuples(st.sampled_from(list(Lane)), st.sampled_from(["a", "b"])),
        ),
        st.tuples(DEEDS, st.integers(0, 5), MACHINES),
        st.tuples(st.just("cancel"), st.integers(0, 200), st.none()),
    ),
    max_size=40,
)


def do(front: Front, deed: str, worker: SimulatedWorker, machine: Machine) -> None:
    member = front.members[front.workers.index(worker)]
    if deed == "lose":
        worker.lose()
    elif deed in ("cut", "mend"):
        worker.is_cut = deed == "cut"
    elif deed == "pause":
        worker.pause()
    elif deed == "go on":
        worker.go_on()
    elif deed in ("slow", "fast"):
        worker.slowness = 30.0 if deed == "slow" else 1.0
    elif deed == "leave":
        worker.leave()
    elif deed in ("trial", "trusted"):
        member.is_on_trial = deed == "trial"
    elif len(front.fleet.members) < 16:
        front.join(machine)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MACHINES, min_size=1, max_size=4), EVENTS)
def test_every_picture_has_one_outcome_in_time_and_its_own_scores(machines, events):
    async def scene():
        async with Front(*machines) as front:
            cancelled = set()
            for event, first, second in events:
                if event == "wait":
                    await asyncio.sleep(first)
                elif event == "ask":
                    pictures, count, deadline_s = first
                    for _ in range(pictures):
                        front.ask(count, deadline_s, *second)
                elif event == "cancel":
                    if first < len(front.tasks) and front.tasks[first].cancel():
                        cancelled.add(first)
                else:
                    do(front, event, front.workers[first % len(front.workers)], second)
            await asyncio.gather(*front.tasks, return_exceptions=True)
            for outcome in front.outcomes:
                if outcome.number in cancelled:
                    continue
                assert (outcome.scores is None) != (outcome.error is None)
                assert outcome.ended_s is not None
                assert outcome.ended_s <= outcome.due_s + EPSILON_S
                if outcome.scores is not None:
                    assert (outcome.scores.values == outcome.number % 256).all()
            assert set(front.told.times_handed_over.values()) <= {1}
            stats = front.fleet.stats
            assert stats.waiting == 0
            assert stats.in_flight == 0
            for member in front.fleet.members:
                assert member.load.rows == 0

    play(scene())
