"""The simulation of replicas: nothing is lost or counted twice, and the batcher's rules hold."""

import asyncio
import selectors

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.demand import arrivals_s, step
from benchmarks.fleet import Fleet, FleetSettings
from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline, DeadlineExceededError, OverloadedError

FLAT = {1: 0.1, 2: 0.1, 4: 0.1, 8: 0.1}


def settings(pass_s=FLAT, start_s=2.0, pass_variation=0.0, max_queued=100):
    return FleetSettings(pass_s, 1.0, max_queued, start_s, 0.5, pass_variation)


def run(arrivals, scaler=lambda now_s, running: 1, duration_s=10.0, replicas=1, **changes):
    return Fleet(settings(**changes), scaler, seed=1).run(arrivals, duration_s, replicas)


def test_an_idle_replica_answers_after_one_pass():
    outcome = run([0.25, 5.0])
    assert outcome.answered_s == pytest.approx([0.1, 0.1])
    assert (outcome.refused, outcome.dropped) == (0, 0)


def test_what_arrives_during_a_pass_is_the_next_batch():
    outcome = run([0.0, 0.01, 0.02, 0.03])
    assert sorted(outcome.answered_s) == pytest.approx([0.1, 0.17, 0.18, 0.19])


def test_what_could_not_be_done_in_time_is_refused_on_arrival():
    # 0.1 s for the first, then passes of eight: nine of them are done within the deadline of a second.
    outcome = run([0.0] + [0.001] * 200, max_queued=1000)
    assert len(outcome.answered_s) == 1 + 9 * 8
    assert outcome.refused == 200 - 9 * 8
    assert max(outcome.answered_s) <= 1.0


def test_no_more_wait_than_the_queue_may_hold():
    outcome = run([0.0] + [0.001] * 50, max_queued=20)
    assert len(outcome.answered_s) == 21


def test_a_replica_is_there_when_it_has_started_and_costs_from_its_order():
    outcome = run([], scaler=lambda now_s, running: 1 if now_s < 3.0 else 2)
    assert [moment.running for moment in outcome.moments if moment.at_s in (3.0, 4.5, 5.0)] == [1, 1, 2]
    assert outcome.replica_s == pytest.approx(10.0 + 7.0)


def test_a_replica_that_is_stopped_finishes_what_it_has_accepted():
    slow = {1: 0.9}
    arrivals = [0.999, 0.9991]
    outcome = run(arrivals, scaler=lambda now_s, running: 2 if now_s < 1.0 else 1, replicas=2, pass_s=slow)
    assert len(outcome.answered_s) + outcome.refused == 2
    assert 10.0 + 1.0 <= outcome.replica_s <= 10.0 + 1.9


def test_one_that_is_still_starting_is_the_first_to_go():
    outcome = run([], scaler=lambda now_s, running: 2 if 3.0 <= now_s < 4.0 else 1)
    assert outcome.replica_s == pytest.approx(10.0 + 1.0)
    assert {moment.running for moment in outcome.moments} == {1}


def test_the_load_goes_to_the_emptier_ones():
    outcome = run(
        [number * 0.05 for number in range(100)], replicas=2, scaler=lambda now_s, running: 2, pass_s={1: 0.09}
    )
    assert outcome.refused == 0
    assert max(outcome.answered_s) < 0.5


@hypothesis_settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.lists(st.integers(1, 5), min_size=20, max_size=20),
    st.floats(1.0, 150.0),
    st.floats(0.0, 0.5),
    st.floats(0.0, 3.0),
)
def test_every_arrival_is_answered_refused_or_dropped_once(seed, targets, per_s, variation, start_s):
    arrivals = arrivals_s(step(per_s, per_s, 0.0), per_s, 10.0, seed)
    outcome = run(
        arrivals,
        scaler=lambda now_s, running: targets[int(now_s / 0.5)],
        pass_variation=variation,
        start_s=start_s,
        pass_s={1: 0.05, 4: 0.1},
    )
    assert len(outcome.answered_s) + outcome.refused + outcome.dropped == len(arrivals)
    assert outcome.replica_s >= 10.0
    assert all(moment.target == targets[int(moment.at_s / 0.5)] for moment in outcome.moments)


class Leaping(selectors.SelectSelector):
    """Waits for nothing: what an event loop would sleep through is over at once."""

    now_s = 0.0

    def select(self, timeout=None):
        self.now_s += timeout or 0.0
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is only that of its own timers."""

    def __init__(self):
        self.leaping = Leaping()
        super().__init__(self.leaping)

    def time(self):
        return self.leaping.now_s


async def through_the_batcher(arrivals, pass_s, deadline_s, max_queued):
    """Latencies, refused and dropped, of the real batcher before a device that sleeps."""
    clock = asyncio.get_running_loop().time
    costs = PassCosts(pass_s)

    async def run_pass(items):
        await asyncio.sleep(pass_s[costs.bucket_for(len(items))])
        return items

    batcher = Batcher(run_pass, costs, max_queued, clock=clock)
    latencies, refusals = [], []

    async def one(arrival_s):
        await asyncio.sleep(arrival_s)
        try:
            await batcher.submit([0], Call("r", Deadline.after(deadline_s, clock)))
        except (OverloadedError, DeadlineExceededError) as error:
            refusals.append(type(error))
        else:
            latencies.append(clock() - arrival_s)

    await asyncio.gather(*(one(arrival_s) for arrival_s in arrivals))
    await batcher.close()
    return latencies, refusals.count(OverloadedError), refusals.count(DeadlineExceededError)


@pytest.mark.parametrize("per_s", [5.0, 40.0, 300.0])
def test_it_answers_and_refuses_as_the_real_batcher_does(per_s):
    pass_s = {1: 0.05, 2: 0.06, 4: 0.09, 8: 0.15}
    arrivals = arrivals_s(step(per_s, per_s, 0.0), per_s, 10.0, seed=4)
    simulated = run(arrivals, pass_s=pass_s)
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        latencies, refused, dropped = runner.run(through_the_batcher(arrivals, pass_s, 1.0, 100))
    assert sorted(simulated.answered_s) == pytest.approx(sorted(latencies))
    assert (simulated.refused, simulated.dropped) == (refused, dropped)
