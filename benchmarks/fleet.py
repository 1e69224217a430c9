"""A discrete-event simulation of scorer replicas whose number an autoscaler sets.

Each replica has a device that takes as long for a pass as the real one was measured to, and the batcher's rules: the
batch is formed when the device is free, a picture is refused on arrival when its predicted wait is longer than what is
left, and dropped before a pass when that has become so (``serve_app/batching``; every picture here has one view and
the same deadline, so that earliest deadline first is first come, first served). What a pass takes varies around the
measured time. Starting a replica takes a while, in which it costs and does nothing; one that is stopped finishes what
it has accepted. Pictures go to the emptier of two replicas drawn at random, as Serve's router sends them.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deployments.autoscaling.offered_work import OfferedWork
from deployments.autoscaling.replica_stats import ReplicaStats
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Clock

Scaler = Callable[[float, Mapping[int, "Replica"]], int]
"""Seconds from the start, and the running replicas by number, to how many are wanted."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What is the same for all policies."""

    pass_s: Mapping[int, float]
    """Seconds of a pass by batch size, as measured."""
    deadline_s: float
    max_queued: int
    start_s: float
    """From the decision for a replica to its readiness."""
    control_interval_s: float
    pass_variation: float = 0.1
    """Standard deviation of the logarithm of a pass's time."""

    @property
    def picture_s(self) -> float:
        """Seconds of a device per picture when it is full."""
        largest = max(self.pass_s)
        return self.pass_s[largest] / largest


@dataclass(frozen=True, slots=True)
class Moment:
    """The fleet at one turn of the control loop."""

    at_s: float
    target: int
    running: int
    delay_s: float
    """Predicted queue delay, mean of the running replicas."""


@dataclass(slots=True)
class FleetOutcome:
    """Every arrival is in one of ``answered_s``, ``refused`` and ``dropped``."""

    answered_s: list[float] = field(default_factory=list)
    """From arrival to answer."""
    refused: int = 0
    """On arrival."""
    dropped: int = 0
    """Before a pass, after a wait."""
    replica_s: float = 0.0
    """Seconds of replicas, from the decision for each to its end."""
    moments: list[Moment] = field(default_factory=list)


class Replica:
    """One device and what waits for it."""

    def __init__(self, number: int, settings: FleetSettings, ordered_at_s: float, clock: Clock) -> None:
        self.number = number
        self.ordered_at_s = ordered_at_s
        self._settings = settings
        self._clock = clock
        self._costs = PassCosts(settings.pass_s)
        self._offered = OfferedWork(clock)
        self._waiting: deque[float] = deque()
        self._passing: list[float] = []
        self._pass_started_s = self._pass_expected_s = 0.0

    @property
    def ongoing(self) -> int:
        """Pictures that wait or are in a pass."""
        return len(self._waiting) + len(self._passing)

    @property
    def predicted_wait_s(self) -> float:
        """As ``Batcher.predicted_wait_s``."""
        return self._pass_remaining_s() + self._costs.total_s(len(self._waiting))

    def stats(self) -> dict[str, float]:
        """As ``ClipScorer.record_autoscaling_stats``."""
        return ReplicaStats(
            self.predicted_wait_s, self._offered.rate, self._offered.job_s, self._settings.deadline_s
        ).as_metrics()

    def accept(self) -> bool:
        """A picture arrives now; False if it is refused."""
        self._offered.add(self._settings.picture_s)
        wait_s = self._pass_remaining_s() + self._costs.total_s(len(self._waiting) + 1)
        if wait_s > self._settings.deadline_s or len(self._waiting) >= self._settings.max_queued:
            return False
        self._waiting.append(self._clock())
        return True

    def begin_pass(self, source: random.Random) -> tuple[float | None, int]:
        """Form a batch if the device is free: when its pass will end (None: no pass), and how many were dropped."""
        dropped = 0
        now_s = self._clock()
        while self._waiting and not self._passing:
            budget_s = self._waiting[0] + self._settings.deadline_s - now_s
            if self._costs.total_s(1) > budget_s:
                self._waiting.popleft()
                dropped += 1
                continue
            size = self._costs.batch_size(len(self._waiting), budget_s)
            self._passing = [self._waiting.popleft() for _ in range(size)]
            self._pass_started_s, self._pass_expected_s = now_s, self._costs.pass_s(size)
            measured_s = self._settings.pass_s[self._costs.bucket_for(size)]
            variation = source.gauss(-0.5 * self._settings.pass_variation**2, self._settings.pass_variation)
            return now_s + measured_s * math.exp(variation), dropped
        return None, dropped

    def end_pass(self) -> list[float]:
        """The arrivals that are answered now."""
        self._costs.observe(len(self._passing), self._clock() - self._pass_started_s)
        answered, self._passing = self._passing, []
        return answered

    def _pass_remaining_s(self) -> float:
        return abs(self._clock() - self._pass_started_s - self._pass_expected_s) if self._passing else 0.0


class Fleet:
    """Runs arrivals through replicas that come and go."""

    def __init__(self, settings: FleetSettings, scaler: Scaler, seed: int) -> None:
        """``scaler`` is asked at each turn of the control loop."""
        self._settings = settings
        self._scaler = scaler
        self._source = random.Random(seed)
        self._now_s = 0.0
        self._ordered = 0
        self._starting: dict[int, Replica] = {}
        self._running: dict[int, Replica] = {}
        self._routed: list[Replica] = []
        self._stopping: dict[int, Replica] = {}
        self._pass_ends: list[tuple[float, int, Replica]] = []
        self._outcome = FleetOutcome()

    def run(self, arrivals_s: Sequence[float], duration_s: float, replicas: int) -> FleetOutcome:
        """All of ``arrivals_s``, which end before ``duration_s``, beginning with so many running replicas."""
        self._order(replicas)
        self._running, self._starting = self._starting, {}
        turns = math.ceil(duration_s / self._settings.control_interval_s)
        events = heapq.merge(
            ((turn * self._settings.control_interval_s, False) for turn in range(turns)),
            ((moment_s, True) for moment_s in arrivals_s),
        )
        for moment_s, is_arrival in events:
            self._finish_passes(moment_s)
            self._now_s = moment_s
            if is_arrival:
                self._arrive()
            else:
                self._control()
        for replica in (*self._starting.values(), *self._running.values()):
            self._outcome.replica_s += duration_s - replica.ordered_at_s
        self._finish_passes(math.inf)
        return self._outcome

    def _clock(self) -> float:
        return self._now_s

    def _order(self, count: int) -> None:
        for number in range(self._ordered, self._ordered + count):
            self._starting[number] = Replica(number, self._settings, self._now_s, self._clock)
        self._ordered += count

    def _arrive(self) -> None:
        first, second = self._source.choice(self._routed), self._source.choice(self._routed)
        chosen = first if first.ongoing <= second.ongoing else second
        if not chosen.accept():
            self._outcome.refused += 1
        elif chosen.ongoing == 1:
            self._begin_pass(chosen)

    def _begin_pass(self, replica: Replica) -> None:
        ends_s, dropped = replica.begin_pass(self._source)
        self._outcome.dropped += dropped
        if ends_s is not None:
            heapq.heappush(self._pass_ends, (ends_s, replica.number, replica))

    def _finish_passes(self, until_s: float) -> None:
        while self._pass_ends and self._pass_ends[0][0] <= until_s:
            self._now_s, _, replica = heapq.heappop(self._pass_ends)
            self._outcome.answered_s += [self._now_s - arrived_s for arrived_s in replica.end_pass()]
            self._begin_pass(replica)
            if replica.number in self._stopping and not replica.ongoing:
                self._end(self._stopping.pop(replica.number))

    def _control(self) -> None:
        for number, replica in list(self._starting.items()):
            if replica.ordered_at_s + self._settings.start_s <= self._now_s:
                self._running[number] = self._starting.pop(number)
        target = self._scaler(self._now_s, self._running)
        excess = len(self._starting) + len(self._running) - target
        self._order(-excess)
        for _ in range(excess):
            self._stop_one()
        self._routed = list(self._running.values())
        waits_s = [replica.predicted_wait_s for replica in self._running.values()]
        moment = Moment(self._now_s, target, len(self._running), sum(waits_s) / len(waits_s))
        self._outcome.moments.append(moment)

    def _stop_one(self) -> None:
        """The newest: what is not there yet is missed least."""
        if self._starting:
            self._end(self._starting.popitem()[1])
            return
        number, replica = self._running.popitem()
        if replica.ongoing:
            self._stopping[number] = replica
        else:
            self._end(replica)

    def _end(self, replica: Replica) -> None:
        self._outcome.replica_s += self._now_s - replica.ordered_at_s
