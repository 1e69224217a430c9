"""The retention: one process at a time erases, and another one goes on within 30 s of its death."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from serve_app.database.lease import LEASE_S, RENEWED_EVERY_S
from serve_app.domain import Erased
from serve_app.ledger.retaining import PRUNED_EVERY_S, Retaining


@pytest.fixture(autouse=True)
def nothing_is_over() -> None:
    """Of the other tests, and not of these: the pace is the real one."""


class Bench:
    """A process over a clock of its own, which erases for ``prune_s`` seconds."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.prune_s = 0.0
        self.lost_at_s = math.inf
        self.erased_until_s = 0.0
        self.held_at_s: list[float] = []
        self.pruned_at_s: list[float] = []
        self._retaining = Retaining(self._hold, self._prune, lambda: True, lambda: self.now_s)

    def run(self, until_s: float) -> None:
        self._retaining.run(lambda wait_s: self._pass(wait_s) >= until_s)

    def _pass(self, wait_s: float) -> float:
        self.now_s += wait_s
        return self.now_s

    def _hold(self) -> bool:
        self.held_at_s.append(self.now_s)
        return self.now_s < self.lost_at_s

    def _prune(self, goes_on: Callable[[], bool]) -> Erased:
        self.pruned_at_s.append(self.now_s)
        over_s = self.now_s + self.prune_s
        while self.now_s < over_s and goes_on():
            self._pass(0.05)
        self.erased_until_s = self.now_s
        return Erased(1)


@pytest.mark.parametrize("prune_s", [0.0, 300.0])
def test_the_lease_is_renewed_in_time_also_while_much_is_erased(prune_s: float) -> None:
    bench = Bench()
    bench.prune_s = prune_s
    bench.run(2000.0)
    longest_s = max(later - held for held, later in zip(bench.held_at_s, bench.held_at_s[1:], strict=False))
    assert longest_s + LEASE_S <= 30.0
    assert len(bench.pruned_at_s) == pytest.approx(1900 / (PRUNED_EVERY_S + prune_s), abs=1)


def test_a_process_that_loses_the_lease_erases_no_more() -> None:
    bench = Bench()
    bench.prune_s, bench.lost_at_s = 300.0, 150.0
    bench.run(2000.0)
    assert len(bench.pruned_at_s) == 1
    assert bench.erased_until_s <= bench.lost_at_s + RENEWED_EVERY_S + 0.1
