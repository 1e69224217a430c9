"""What follows from outcomes: goodput, late, refused, failed and doubled answers, timelines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.outcomes import (
    NO_ANSWER,
    Outcome,
    doubled,
    goodput_per_s,
    lags,
    late,
    latencies,
    outcome_of,
    rate_per_second,
    slowest_ms,
    statuses,
)


def seen(intended_s: float, ended_s: float, **others: Any) -> Outcome:
    return Outcome(
        intended_s, intended_s, ended_s, **{"status": 200, "verdict": "accept", "reason": "policy", **others}
    )


REFUSED = {"status": 503, "verdict": None, "reason": "overloaded"}
UNANSWERED = {"status": NO_ANSWER, "verdict": None, "reason": None}


def test_an_answer_of_ours_is_read() -> None:
    body = json.dumps({"verdict": "reject", "reason": "policy", "request_id": "r1", "elapsed_ms": 600}).encode()
    outcome = outcome_of(1.0, 1.25, 2.0, 406, body)
    assert outcome == Outcome(1.0, 1.25, 2.0, 406, "reject", "policy", "r1", 0.6)
    assert (outcome.latency_s, outcome.lag_s) == (1.0, 0.25)
    assert outcome.is_looked_at
    assert not outcome.is_failed


@pytest.mark.parametrize("body", [b"", b"ok", b"[1]", b'{"message": "Image OK"}', b"\xff"])
def test_an_answer_of_another_service_has_only_a_status(body: bytes) -> None:
    outcome = outcome_of(0, 0, 1, 200, body)
    assert (outcome.status, outcome.verdict, outcome.reason) == (200, None, None)
    assert not outcome.is_looked_at
    assert not outcome.is_failed


def test_a_refusal_is_in_the_services_own_words() -> None:
    assert seen(0, 1, **REFUSED).is_refused
    assert not seen(0, 1, status=503, verdict=None, reason=None).is_refused, "a proxy's 503 is a failure"
    assert not seen(0, 1, **UNANSWERED).is_answered


def test_goodput_counts_what_was_looked_at_in_the_window_and_in_time() -> None:
    outcomes = [
        seen(0, 0.5),  # before the window
        seen(0, 2),
        seen(1, 10),
        seen(1, 10.5),  # after the window
        seen(0, 9.5),  # late
        seen(2, 3, **REFUSED),
        seen(2, 3, **UNANSWERED),
    ]
    assert goodput_per_s(outcomes, 1, 10, 9.2) == pytest.approx(2 / 9)


def test_late_is_by_latency_answered_or_not() -> None:
    slow, given_up = seen(1, 10), seen(0, 30, **UNANSWERED)
    assert late([seen(0, 8.5), slow, given_up], 8.5) == [slow, given_up]


def test_latencies_are_of_answers_and_lags_of_all() -> None:
    outcomes = [Outcome(0, 0.1, 2, 200), Outcome(0, 0.3, 30, NO_ANSWER)]
    assert latencies(outcomes).count == 1
    assert lags(outcomes).percentile_ms(1) == pytest.approx(300, rel=1e-3)


def test_a_request_that_is_answered_twice_is_doubled() -> None:
    names = ("a", "b", "a", None, None)
    assert doubled([seen(0, 1, request_id=name) for name in names]) == ["a"]


def test_statuses_in_words() -> None:
    outcomes = [seen(0, 1), seen(0, 1), seen(0, 1, **REFUSED), seen(0, 1, **UNANSWERED), Outcome(0, 0, 1, 502)]
    assert statuses(outcomes) == "200 policy 2, 503 overloaded 1, no answer 1, 502 1"


def test_a_timeline_has_every_whole_second_and_no_broken_one() -> None:
    outcomes = [seen(0, 0.1), seen(0, 0.9), seen(0, 2.5), seen(0, 2.6, **REFUSED), seen(0, 3.2)]
    assert rate_per_second(outcomes, lambda each: each.is_looked_at) == [(0.5, 2), (1.5, 0), (2.5, 1)]
    assert rate_per_second([], lambda _: True) == []


def test_the_slowest_of_each_second_by_its_intended_send() -> None:
    assert slowest_ms([seen(0.1, 1.1), seen(0.2, 0.3), seen(2.5, 2.75)]) == [(0.5, pytest.approx(1000)), (2.5, 250)]
