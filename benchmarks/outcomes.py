"""What became of each request of a load, and what follows from that: arithmetic alone.

All moments are in seconds since the load began. A latency counts from the *intended* send.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.statistics import Latencies

NO_ANSWER = 0
"""The "status" of a request that got no answer at all."""

_REFUSED_STATUS = 503


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request.

    Attributes:
        intended_s: when it was to be sent.
        sent_s: when it was.
        ended_s: when it was answered, or given up.
        status: of the answer, or :data:`NO_ANSWER`.
        verdict: what the policy said, if the picture was looked at.
        reason: ``policy``, or why the picture was not looked at; None if the answer is not Pictwarden's.
        request_id: the service's own name for the request.
        service_s: how long it took by the service's own clock, which starts when it sees the request's first byte.
    """

    intended_s: float
    sent_s: float
    ended_s: float
    status: int
    verdict: str | None = None
    reason: str | None = None
    request_id: str | None = None
    service_s: float | None = None

    @property
    def latency_s(self) -> float:
        """From the intended send to the answer."""
        return self.ended_s - self.intended_s

    @property
    def lag_s(self) -> float:
        """How late the generator sent it: its own fault, not the service's."""
        return self.sent_s - self.intended_s

    @property
    def is_answered(self) -> bool:
        """Something came back, whatever it was."""
        return self.status != NO_ANSWER

    @property
    def is_looked_at(self) -> bool:
        """The policy said something of the picture."""
        return self.verdict is not None

    @property
    def is_refused(self) -> bool:
        """The service said, in its own words, that it did not look: it is overloaded, late or not whole."""
        return self.status == _REFUSED_STATUS and self.reason is not None

    @property
    def is_failed(self) -> bool:
        """No answer, or one that says that nobody looked (5xx)."""
        return not self.is_answered or self.status >= 500


def outcome_of(intended_s: float, sent_s: float, ended_s: float, status: int, body: bytes) -> Outcome:
    """The outcome of an answer; what is no Pictwarden's has only a status."""
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    told = fields if isinstance(fields, dict) and "reason" in fields else {}
    elapsed_ms = told.get("elapsed_ms")
    return Outcome(
        intended_s,
        sent_s,
        ended_s,
        status,
        verdict=told.get("verdict"),
        reason=told.get("reason"),
        request_id=told.get("request_id"),
        service_s=None if elapsed_ms is None else elapsed_ms / 1e3,
    )


def latencies(outcomes: Iterable[Outcome]) -> Latencies:
    """Of all that were answered."""
    return Latencies(each.latency_s for each in outcomes if each.is_answered)


def lags(outcomes: Iterable[Outcome]) -> Latencies:
    """How late the generator sent."""
    return Latencies(each.lag_s for each in outcomes)


def goodput_per_s(outcomes: Iterable[Outcome], from_s: float, until_s: float, limit_s: float) -> float:
    """Pictures looked at a second, of those answered between two moments and not later than ``limit_s`` each.

    What is answered after the load has ended does not count: it would flatter a service that has a queue.
    """
    good = sum(
        each.is_looked_at and from_s < each.ended_s <= until_s and each.latency_s <= limit_s for each in outcomes
    )
    return good / (until_s - from_s)


def late(outcomes: Iterable[Outcome], limit_s: float) -> list[Outcome]:
    """Those that took longer than ``limit_s``, answered or not."""
    return [each for each in outcomes if each.latency_s > limit_s]


def doubled(outcomes: Iterable[Outcome]) -> list[str]:
    """Names of requests that were answered more than once."""
    counts = Counter(each.request_id for each in outcomes if each.request_id is not None)
    return [name for name, count in counts.items() if count > 1]


def statuses(outcomes: Iterable[Outcome]) -> str:
    """How many of each answer, in words: ``200 policy 40, 503 overloaded 2``; the most frequent first."""
    counts = Counter(_in_words(each) for each in outcomes)
    return ", ".join(f"{words} {count}" for words, count in counts.most_common())


def rate_per_second(
    outcomes: Sequence[Outcome], of: Callable[[Outcome], bool], step_s: float = 1.0
) -> list[tuple[float, float]]:
    """A timeline: how many outcomes a second, of those of which ``of`` is true, ended in each step.

    Returns:
        The middle of each step and the rate, from the beginning to the last whole step.
    """
    steps = int(max((each.ended_s for each in outcomes), default=0.0) / step_s)
    counts = Counter(int(each.ended_s / step_s) for each in outcomes if of(each))
    return [((step + 0.5) * step_s, counts[step] / step_s) for step in range(steps)]


def slowest_ms(outcomes: Sequence[Outcome], step_s: float = 1.0) -> list[tuple[float, float]]:
    """A timeline: the longest latency (in ms) of what was *intended* in each step; steps without any are left out."""
    worst: dict[int, float] = {}
    for each in outcomes:
        step = int(each.intended_s / step_s)
        worst[step] = max(worst.get(step, 0.0), each.latency_s)
    return [((step + 0.5) * step_s, latency_s * 1e3) for step, latency_s in sorted(worst.items())]


def _in_words(outcome: Outcome) -> str:
    if not outcome.is_answered:
        return "no answer"
    return f"{outcome.status} {outcome.reason}" if outcome.reason else str(outcome.status)
