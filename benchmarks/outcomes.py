"""What became of the pictures of a load, and what follows from that: arithmetic alone.

All moments are in seconds since the load began. A latency counts from the *intended* send. A *percentile* is the
nearest rank (numpy's ``inverted_cdf``): the smallest measured value that at least that share of all values does not
exceed. It is always a latency that somebody had, never an average of two.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

NO_ANSWER = 0
"""The "status" of a picture that got no answer at all."""

LATE_S = 8.5
"""The service's own deadline of 8 s, and the half second that an answer may take longer."""

_REFUSED_STATUS = 503
_QUEUES_FILL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One picture.

    Attributes:
        intended_s: when it was to be sent.
        sent_s: when it was.
        ended_s: when it was answered, or given up.
        status: of the answer, or :data:`NO_ANSWER`.
        verdict: what the policy said, if the picture was scanned.
        reason: ``policy``, or why the picture was not scanned; None if the answer is not Pictwarden's.
        request_id: the service's own name for the request.
        elapsed_ms: from the request's first byte to the answer, by the service's own clock.
    """

    intended_s: float
    sent_s: float
    ended_s: float
    status: int
    verdict: str | None = None
    reason: str | None = None
    request_id: str | None = None
    elapsed_ms: float | None = None

    @classmethod
    def of_answer(cls, intended_s: float, sent_s: float, ended_s: float, status: int, body: bytes) -> Outcome:
        """An answer that is not Pictwarden's has only a status."""
        try:
            fields = json.loads(body)
        except ValueError:
            fields = None
        told = fields if isinstance(fields, dict) and "reason" in fields else {}
        words = (told.get(name) for name in ("verdict", "reason", "request_id", "elapsed_ms"))
        return cls(intended_s, sent_s, ended_s, status, *words)

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
    def is_scanned(self) -> bool:
        """The policy said something about the picture."""
        return self.verdict is not None

    @property
    def is_refused(self) -> bool:
        """The service said, in its own words, that it did not scan: it is overloaded, late or not whole."""
        return self.status == _REFUSED_STATUS and self.reason is not None

    @property
    def is_late(self) -> bool:
        """It took longer than :data:`LATE_S`, answered or not."""
        return self.latency_s > LATE_S

    @property
    def is_failed(self) -> bool:
        """No answer, or one that says that nothing was scanned (5xx)."""
        return not self.is_answered or self.status >= 500

    def __str__(self) -> str:
        """Such as ``200 policy``."""
        words = "no answer" if not self.is_answered else str(self.status)
        return f"{words} {self.reason}" if self.reason else words


def percentile_ms(times_s: Iterable[float], share: float) -> float | None:
    """The percentile for ``share`` in 0..1; of fewer than 100 times, 0.99 is the largest: stricter, never kinder.

    None if there are no times.
    """
    times = np.fromiter(times_s, float)
    return float(np.quantile(times, share, method="inverted_cdf")) * 1e3 if times.size else None


def told_percentiles_ms(times_s: Sequence[float], *shares: float) -> list[float | None]:
    """The same of each share for people to read; None where there are too few times for one to lie beyond it."""
    return [
        percentile_ms(times_s, share) if share == 1 or ceil(share * len(times_s)) < len(times_s) else None
        for share in shares
    ]


@dataclass
class Load:
    """What came of some pictures.

    Attributes:
        outcomes: in the order in which they ended.
        name: in tables and checks.
        connections: that never rest; None where pictures come at moments of their own.
        started_s: the load's beginning, on the clock of ``time.perf_counter``.
        window_s: from the beginning to the last moment at which something was to be sent.
        elapsed_s: from the beginning to the last answer.
        client_cpu_s: processor time that making the load took, which the service on the same cores did not have.
        machine_cpu_s: processor time that everybody on this machine used meanwhile.
        service_cpu_s: processor time of the service by stage, where it was measured.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    name: str = ""
    connections: int | None = None
    started_s: float = 0.0
    window_s: float = 0.0
    elapsed_s: float = 0.0
    client_cpu_s: float = 0.0
    machine_cpu_s: float = 0.0
    service_cpu_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def scanned(self) -> int:
        """Pictures about which the policy said something."""
        return sum(each.is_scanned for each in self.outcomes)

    @property
    def failed(self) -> int:
        """Pictures with no answer, or with one that says that nothing was scanned."""
        return sum(each.is_failed for each in self.outcomes)

    @property
    def refused(self) -> int:
        """Pictures that the service says it did not scan."""
        return sum(each.is_refused for each in self.outcomes)

    @property
    def late(self) -> int:
        """Pictures whose answer was late, or that were given up after as long."""
        return sum(each.is_late for each in self.outcomes)

    @property
    def doubled(self) -> int:
        """Requests that were answered more than once."""
        counts = Counter(each.request_id for each in self.outcomes if each.request_id is not None)
        return sum(count > 1 for count in counts.values())

    @property
    def offered_per_s(self) -> float:
        """Pictures sent a second while something was to be sent."""
        return len(self.outcomes) / self.window_s

    @property
    def goodput_per_s(self) -> float:
        """Pictures scanned a second and in time, without the first tenth of the load, in which its queues fill."""
        return goodput_per_s(self.outcomes, _QUEUES_FILL_SHARE * self.window_s, self.window_s)

    @property
    def core_ms(self) -> dict[str, float]:
        """Milliseconds of processor time by stage of the service for each picture that was scanned."""
        return {stage: 1e3 * used_s / self.scanned for stage, used_s in self.service_cpu_s.items()}

    @property
    def client_cores(self) -> float:
        """How many cores, on average, making the load took."""
        return self.client_cpu_s / self.elapsed_s

    @property
    def busy_cores(self) -> float:
        """How many cores of this machine, on average, had something to do."""
        return self.machine_cpu_s / self.elapsed_s


def joined(name: str, first: Load, second: Load) -> Load:
    """Two loads as one, the second behind the first."""
    outcomes = [*first.outcomes, *_moved(second.outcomes, first.window_s)]
    return Load(
        outcomes,
        name,
        window_s=first.window_s + second.window_s,
        elapsed_s=first.elapsed_s + second.elapsed_s,
        client_cpu_s=first.client_cpu_s + second.client_cpu_s,
        machine_cpu_s=first.machine_cpu_s + second.machine_cpu_s,
    )


def between(name: str, of: Load, from_s: float, until_s: float) -> Load:
    """The part of a load whose pictures were to be sent within these moments, as a load that begins with them."""
    outcomes = [each for each in of.outcomes if from_s <= each.intended_s < until_s]
    return Load(_moved(outcomes, -from_s), name, window_s=until_s - from_s, elapsed_s=until_s - from_s)


def _moved(outcomes: Iterable[Outcome], by_s: float) -> list[Outcome]:
    return [
        replace(each, intended_s=each.intended_s + by_s, sent_s=each.sent_s + by_s, ended_s=each.ended_s + by_s)
        for each in outcomes
    ]


def latencies_s(outcomes: Iterable[Outcome]) -> list[float]:
    """Of all that were answered."""
    return [each.latency_s for each in outcomes if each.is_answered]


def p99_ms(loads: Iterable[Load]) -> float:
    """Of all that were answered in any of these loads; NaN if none was."""
    return percentile_ms([each for of in loads for each in latencies_s(of.outcomes)], 0.99) or float("nan")


def goodput_per_s(outcomes: Iterable[Outcome], from_s: float, until_s: float) -> float:
    """Pictures scanned a second, of those answered between two moments and not late.

    Answers after the load has ended do not count: they would flatter a service that has a queue.
    """
    good = sum(each.is_scanned and from_s < each.ended_s <= until_s and not each.is_late for each in outcomes)
    return good / (until_s - from_s)


def statuses(outcomes: Iterable[Outcome]) -> str:
    """How many of each answer, in words: ``200 policy 40, 503 overloaded 2``; the most frequent first."""
    return ", ".join(f"{words} {count}" for words, count in Counter(map(str, outcomes)).most_common())
