"""What is made of the loads of a front and its workers."""

from __future__ import annotations

import pytest

from benchmarks.outcomes import Load, Outcome
from benchmarks.remote import Measured, checks_of
from benchmarks.remote_parts import pending
from benchmarks.remote_parts.fronts import Rates
from benchmarks.remote_parts.pending_pictures import WorkedOff


def load_of(*answered: tuple[float, float, int], name: str = "") -> Load:
    """Of pictures that were to be sent at a moment and answered so much later, with a status."""
    outcomes = [
        Outcome(at_s, at_s, at_s + after_s, status, "accept" if status == 200 else None, "policy", f"{at_s}")
        for at_s, after_s, status in answered
    ]
    return Load(outcomes, name, window_s=10.0, elapsed_s=10.0, service_cpu_s={"rest": 0.01 * len(outcomes)})


def measured(killed: Load, rates: Rates) -> Measured:
    quick, loopback, far = (load_of(*((at_s, after_s, 200) for at_s in range(10))) for after_s in (0.02, 0.024, 0.07))
    worked_off = pending.Measured(quick, quick, quick, WorkedOff(50, 950))
    return Measured(150.0, quick, quick, loopback, far, rates, killed, 4.0, worked_off)


def test_what_holds_and_what_does_not() -> None:
    steady = load_of(*((number / 10, 0.1, 200) for number in range(100)))
    good = measured(steady, Rates(10.0, 19.5, 13.0))
    assert good.after_kill == pytest.approx(1.0, rel=0.05)
    missed = {each.claim: each.seen for each in checks_of(good) if not each.holds}
    assert missed == {"the front, a picture": pytest.approx(10.0)}
    seen = {each.claim: each.seen for each in checks_of(good)}
    assert seen["added to a local scorer's p50, over the loopback"] == pytest.approx(4.0)
    assert seen["added to a local scorer's p50, 40 ms away"] == pytest.approx(1.25)
    assert seen["two workers ÷ one"] == pytest.approx(1.95)
    assert seen["one, and a slower one ÷ the sum of both"] == pytest.approx(0.975)


def test_a_kill_that_is_noticed() -> None:
    gap = load_of(*((number / 10, 9.0 if 40 <= number < 60 else 0.1, 200) for number in range(100)), (5.0, 0.1, 503))
    found = measured(gap, Rates(10.0, 15.0, 10.0))
    assert found.after_kill == pytest.approx(0.5, rel=0.1)
    missed = {each.claim: each.seen for each in checks_of(found) if not each.holds}
    assert missed["a worker is killed: pictures that failed"] == 1
    assert missed["a worker is killed: pictures that were late"] == 20
    assert missed["two workers ÷ one"] == pytest.approx(1.5)
