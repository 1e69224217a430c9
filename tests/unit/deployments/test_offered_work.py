"""The load that a replica reports, on a clock that only the tests move."""

import pytest

from deployments.autoscaling.offered_work import WINDOW_S, OfferedWork


class Clock:
    now_s = 50.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def arrive(loads, clock, per_s, work_s, duration_s):
    """Jobs in turn to each of ``loads``."""
    for number in range(round(per_s * duration_s)):
        clock.now_s += 1 / per_s
        loads[number % len(loads)].add(work_s)


def test_it_is_seconds_of_work_per_second(clock):
    offered = OfferedWork(clock)
    arrive([offered], clock, per_s=20, work_s=0.1, duration_s=8 * WINDOW_S)
    assert offered.rate == pytest.approx(2.0, rel=0.01)
    assert offered.job_s == pytest.approx(0.1)


def test_it_is_forgotten(clock):
    offered = OfferedWork(clock)
    arrive([offered], clock, per_s=20, work_s=0.1, duration_s=8 * WINDOW_S)
    clock.now_s += 3 * WINDOW_S
    assert offered.rate == pytest.approx(0.1, rel=0.01)


def test_the_loads_of_replicas_add_up_also_when_one_has_just_come(clock):
    old = OfferedWork(clock)
    arrive([old], clock, per_s=40, work_s=0.1, duration_s=8 * WINDOW_S)
    new = OfferedWork(clock)
    for _ in range(20):
        arrive([old, new], clock, per_s=40, work_s=0.1, duration_s=1.0)
        assert old.rate + new.rate == pytest.approx(4.0, rel=0.02)


def test_nothing_arrived_is_no_load(clock):
    offered = OfferedWork(clock)
    assert (offered.rate, offered.job_s) == (0.0, 0.0)
