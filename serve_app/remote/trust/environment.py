"""Time and chance, as those who watch over workers need them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from serve_app.domain import Clock


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by the wall clock and by the other one, which nobody sets."""

    at: datetime
    clock_s: float


@dataclass(frozen=True, slots=True)
class Environment:
    """A test has its own.

    Attributes:
        clock: seconds, that of the fleet.
        now: the wall clock, with an offset, for reports.
        sleep: until so many seconds have passed.
        chance: decides what no worker may foresee.
    """

    clock: Clock = time.monotonic
    now: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: random.Random = field(default_factory=random.SystemRandom)

    def moment(self, at: datetime) -> Moment:
        """One of the wall clock, a short while ago."""
        return Moment(at, self.clock() - (self.now() - at).total_seconds())

    def since(self, moment: Moment) -> datetime:
        """``moment`` by the wall clock as it is now, if it was set back since then: what came later is later by it."""
        return min(moment.at, self.now() - timedelta(seconds=self.clock() - moment.clock_s))

    def comes_up(self, one_in: int) -> bool:
        """True once in ``one_in`` times, by chance."""
        return self.chance.random() * one_in < 1
