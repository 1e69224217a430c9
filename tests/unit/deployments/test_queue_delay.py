"""The arithmetic of autoscaling: what holds for every workload, and the cases that it was made for."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deployments.autoscaling.queue_delay import QueueDelaySettings, Workload, wanted_replicas

SETTINGS = QueueDelaySettings()
LEAST, MOST = 1, 16

DEADLINE_S = 8.0
CALM = Workload(target=2, running=2, silent=0, offered_work=1.4, backlog_s=0.5, deadline_s=DEADLINE_S)

utilisations = st.floats(0.05, 1.0)
settings = st.builds(
    lambda low, high, share, growth: QueueDelaySettings(share, max(low, high), min(low, high), growth),
    utilisations,
    utilisations,
    st.floats(0.0, 1.0),
    st.floats(1.01, 20.0),
)
workloads = st.builds(
    Workload,
    target=st.integers(0, 50),
    running=st.integers(0, 50),
    silent=st.integers(0, 3),
    offered_work=st.floats(0.0, 100.0),
    backlog_s=st.floats(0.0, 500.0),
    deadline_s=st.floats(0.5, 9.0),
).filter(lambda workload: workload.silent <= workload.running)


def wanted(workload, settings=SETTINGS):
    return wanted_replicas(workload, settings, LEAST, MOST)


@given(workloads, settings, st.integers(0, 10), st.integers(0, 40))
def test_the_number_is_never_outside_its_bounds(workload, settings, least, span):
    assert least <= wanted_replicas(workload, settings, least, least + span) <= least + span


@given(workloads, settings, st.floats(0.0, 500.0))
def test_more_delay_never_means_fewer_replicas(workload, settings, more_s):
    slower = replace(workload, backlog_s=workload.backlog_s + more_s)
    assert wanted(slower, settings) >= wanted(workload, settings)


@given(workloads, settings, st.floats(0.0, 100.0))
def test_more_load_never_means_fewer_replicas(workload, settings, more):
    busier = replace(workload, offered_work=workload.offered_work + more)
    assert wanted(busier, settings) >= wanted(workload, settings)


@given(st.floats(0.0, 30.0), st.integers(1, 40), settings)
def test_a_constant_load_moves_the_number_in_one_direction_and_then_no_more(load, first, settings):
    numbers = [first]
    while len(numbers) < 2 or numbers[-1] != numbers[-2]:
        numbers.append(wanted_replicas(Workload(numbers[-1], numbers[-1], 0, load, 0.0, DEADLINE_S), settings, 1, 1000))
        assert numbers in (sorted(numbers), sorted(numbers, reverse=True))


@given(workloads, settings)
def test_while_a_replica_is_silent_none_is_stopped(workload, settings):
    assume(workload.silent)
    assert wanted(workload, settings) >= min(workload.target, MOST)


@given(workloads, settings)
def test_no_order_is_larger_than_the_growth_allows(workload, settings):
    assert wanted(workload, settings) <= max(LEAST, workload.target, workload.running * settings.max_growth + 1)


def test_what_runs_well_stays():
    assert wanted(CALM) == 2


def test_a_load_that_was_refused_counts_as_well():
    assert wanted(Workload(target=1, running=1, silent=0, offered_work=5.0, backlog_s=7.9, deadline_s=DEADLINE_S)) == 7


def test_work_that_waits_beyond_the_accepted_delay_is_worked_off_within_a_deadline():
    accepted_s = 2 * SETTINGS.delay_share * DEADLINE_S
    load_of_two = replace(CALM, offered_work=2 * SETTINGS.up_utilisation)
    assert wanted(replace(load_of_two, backlog_s=accepted_s)) == 2
    assert wanted(replace(load_of_two, backlog_s=accepted_s + 3 * DEADLINE_S)) == 5


def test_replicas_that_are_starting_are_not_ordered_again():
    assert wanted(Workload(target=8, running=1, silent=0, offered_work=5.0, backlog_s=7.9, deadline_s=DEADLINE_S)) == 8


def test_a_load_that_went_is_followed_only_to_where_it_is_roomy():
    assert wanted(Workload(target=8, running=8, silent=0, offered_work=1.7, backlog_s=0.0, deadline_s=DEADLINE_S)) == 3


@pytest.mark.parametrize("running", [0, 3])
def test_without_any_figure_the_number_stays(running):
    assert (
        wanted(
            Workload(target=3, running=running, silent=running, offered_work=0.0, backlog_s=0.0, deadline_s=DEADLINE_S)
        )
        == 3
    )


def test_the_delay_is_that_of_evenly_spread_work():
    assert Workload(2, 2, 0, 1.0, 3.0, DEADLINE_S).delay_s == 1.5
    assert Workload(2, 0, 0, 0.0, 0.0, DEADLINE_S).delay_s == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"stale_after_s": 0.0},
        {"delay_share": 1.5},
        {"up_utilisation": 1.1},
        {"down_utilisation": 0.95},
        {"down_utilisation": 0.0},
        {"max_growth": 1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).partition("_")[0]):
        QueueDelaySettings(**wrong)
