"""A load with a fault in it, parted into before, during and after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.outcomes import NO_ANSWER, Load, Outcome
from benchmarks.recovery import Struck, recovery_checks, recovery_table

FAULT_S, WHOLE_AFTER_S = 10.0, 5.0


def answered(intended_s: float, latency_s: float = 0.1, status: int = 200) -> Outcome:
    return Outcome(
        intended_s,
        intended_s,
        intended_s + latency_s,
        status,
        "accept" if status == 200 else None,
        "policy",
        f"{intended_s}",
    )


def struck(outcomes: list[Outcome], whole_after_s: float | None = WHOLE_AFTER_S) -> Struck:
    window_s = max(each.intended_s for each in outcomes)
    return Struck(Load(outcomes, "something died", window_s=window_s, elapsed_s=31.0), FAULT_S, whole_after_s)


STEADY = [answered(second + 0.5) for second in range(30)]


def test_a_request_under_way_when_the_fault_comes_is_of_the_time_during_it() -> None:
    of = struck([answered(9.0, 0.5), answered(9.8, 0.5), answered(12.0), answered(14.9, 9.0), answered(15.1)])
    assert [[each.intended_s for each in part] for part in of.parts()] == [[9.0], [9.8, 12.0, 14.9], [15.1]]


@pytest.mark.parametrize("whole_after_s", [0.0, WHOLE_AFTER_S, 100.0, None])
def test_every_request_is_of_one_of_the_three_times(whole_after_s: float | None) -> None:
    parts = [each for part in struck(STEADY, whole_after_s).parts() for each in part]
    assert sorted(parts, key=lambda each: each.intended_s) == STEADY


def test_what_never_recovers_has_no_time_after() -> None:
    of = struck(STEADY, None)
    assert (of.parts()[2], of.rate_share_after) == ([], None)
    assert not recovery_checks([of])[-1].holds


def test_a_recovery_after_the_load_is_not_seen_to_be_at_full_rate() -> None:
    assert struck(STEADY, 100.0).rate_share_after is None


def test_a_fault_that_nobody_notices_holds_every_check() -> None:
    of = struck(STEADY)
    assert of.rate_share_after == pytest.approx(1.0, abs=0.1)
    assert all(check.holds for check in recovery_checks([of]))


@pytest.mark.parametrize(
    ("spoilt", "check"),
    [
        (answered(11.0, status=500), 2),
        (answered(11.0, status=503), 2),
        (Outcome(11.0, 11.0, 11.5, NO_ANSWER), 2),
        (answered(11.0, 8.6), 1),
        (replace(answered(11.0), request_id=STEADY[0].request_id), 3),
    ],
)
def test_one_that_failed_was_late_or_doubled_is_enough(spoilt: Outcome, check: int) -> None:
    holds = [each.holds for each in recovery_checks([struck([*STEADY, spoilt])])]
    assert holds == [place != check for place in range(5)]


def test_the_full_rate_is_missed_when_nothing_is_looked_at_afterwards() -> None:
    refused = [replace(each, status=503, verdict=None) for each in STEADY if each.intended_s > FAULT_S]
    of = struck([each for each in STEADY if each.intended_s < FAULT_S] + refused)
    assert of.rate_share_after == 0.0
    assert not recovery_checks([of])[-1].holds


def test_the_table_has_a_row_for_each_fault() -> None:
    table = recovery_table("Faults", [struck(STEADY), struck(STEADY, None)])
    assert [row[-1] for row in table.rows] == [WHOLE_AFTER_S, None]
    assert {len(row) for row in table.rows} == {len(table.columns)}
