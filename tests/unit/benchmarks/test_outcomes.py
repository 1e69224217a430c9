"""What follows from outcomes: goodput, late, refused, failed and doubled answers, percentiles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.outcomes import (
    NO_ANSWER,
    Load,
    Outcome,
    between,
    goodput_per_s,
    joined,
    latencies_s,
    percentile_ms,
    statuses,
    told_percentiles_ms,
)

TIMES_S = st.lists(st.floats(0.000_01, 59.0), min_size=1, max_size=200)


def seen(intended_s: float, ended_s: float, **others: Any) -> Outcome:
    return Outcome(
        intended_s, intended_s, ended_s, **{"status": 200, "verdict": "accept", "reason": "policy", **others}
    )


REFUSED = {"status": 503, "verdict": None, "reason": "overloaded"}
UNANSWERED = {"status": NO_ANSWER, "verdict": None, "reason": None}


def test_an_answer_of_ours_is_read() -> None:
    body = json.dumps({"verdict": "reject", "reason": "policy", "request_id": "r1", "elapsed_ms": 600}).encode()
    outcome = Outcome.of_answer(1.0, 1.25, 2.0, 406, body)
    assert outcome == Outcome(1.0, 1.25, 2.0, 406, "reject", "policy", "r1", 600)
    assert (outcome.latency_s, outcome.lag_s) == (1.0, 0.25)
    assert outcome.is_scanned
    assert not outcome.is_failed


@pytest.mark.parametrize("body", [b"", b"ok", b"[1]", b'{"message": "Image OK"}', b"\xff"])
def test_an_answer_of_another_service_has_only_a_status(body: bytes) -> None:
    outcome = Outcome.of_answer(0, 0, 1, 200, body)
    assert (outcome.status, outcome.verdict, outcome.reason) == (200, None, None)
    assert not outcome.is_scanned
    assert not outcome.is_failed


def test_a_refusal_is_in_the_services_own_words() -> None:
    assert seen(0, 1, **REFUSED).is_refused
    assert not seen(0, 1, status=503, verdict=None, reason=None).is_refused, "a proxy's 503 is a failure"
    assert not seen(0, 1, **UNANSWERED).is_answered


def test_goodput_counts_pictures_that_were_scanned_in_the_window_and_in_time() -> None:
    outcomes = [
        seen(0, 0.5),  # before the window
        seen(0, 2),
        seen(1, 9),
        seen(2, 10.5),  # after the window
        seen(0, 9.5),  # late
        seen(2, 3, **REFUSED),
        seen(2, 3, **UNANSWERED),
    ]
    assert goodput_per_s(outcomes, 1, 10) == pytest.approx(2 / 9)


def test_late_is_by_latency_answered_or_not() -> None:
    outcomes = [seen(0, 8.5), seen(1, 10), seen(0, 30, **UNANSWERED)]
    assert [each.is_late for each in outcomes] == [False, True, True]
    assert Load(outcomes).late == 2


def test_latencies_are_of_answers() -> None:
    assert latencies_s([Outcome(0, 0.1, 2, 200), Outcome(0, 0.3, 30, NO_ANSWER)]) == [2]


def test_a_request_that_is_answered_twice_is_doubled() -> None:
    names = ("a", "b", "a", None, None)
    assert Load([seen(0, 1, request_id=name) for name in names]).doubled == 1


def test_statuses_in_words() -> None:
    outcomes = [seen(0, 1), seen(0, 1), seen(0, 1, **REFUSED), seen(0, 1, **UNANSWERED), Outcome(0, 0, 1, 502)]
    assert statuses(outcomes) == "200 policy 2, 503 overloaded 1, no answer 1, 502 1"


@given(times_s=TIMES_S, share=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_every_percentile_is_a_measured_value_of_the_nearest_rank(times_s: list[float], share: float) -> None:
    told_ms = percentile_ms(times_s, share)
    assert told_ms is not None
    assert told_ms in [each * 1e3 for each in times_s]
    assert sum(each * 1e3 <= told_ms for each in times_s) >= share * len(times_s)
    assert sum(each * 1e3 < told_ms for each in times_s) <= share * len(times_s)


def test_no_times_have_no_percentile() -> None:
    assert percentile_ms([], 0.5) is None
    assert told_percentiles_ms([], 0.5, 1) == [None, None]


def test_a_percentile_is_told_when_a_value_lies_beyond_it() -> None:
    hundred = [n / 100 for n in range(1, 101)]
    assert told_percentiles_ms(hundred, 0.99, 0.999, 1) == [pytest.approx(990), None, pytest.approx(1000)]
    assert percentile_ms(hundred, 0.999) == pytest.approx(1000)


def test_a_load_in_two_parts_is_one_and_a_part_of_a_load_is_one() -> None:
    whole = Load([seen(1, 2), seen(4, 5), seen(6, 8)], window_s=10, elapsed_s=11)
    first, second = between("first", whole, 0, 4), between("second", whole, 4, 10)
    assert [(each.intended_s, each.ended_s) for each in second.outcomes] == [(0, 1), (2, 4)]
    assert (first.window_s, second.window_s, second.name) == (4, 6, "second")
    again = joined("again", first, second)
    assert (again.outcomes, again.window_s) == (whole.outcomes, 10)
    assert again.offered_per_s == whole.offered_per_s
