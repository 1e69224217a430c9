"""The flood guard: which entries suddenly match far more pictures than before.

A bad import (the hash of a blank page) or somebody's spite (a picture that everybody posts) would refuse the uploads of
a whole instance. An entry is suspended when, within :data:`WINDOW_S`, it has decided about

* at least :data:`MIN_MATCHES` pictures with different bytes, and
* at least :data:`MIN_SHARE` of all pictures, and
* at least :data:`TIMES_BASELINE` times as many as in such a time before, on average over about :data:`MEMORY_S`.

A suspended entry waits for a person. Meanwhile the policy decides about its pictures.

Anybody can make fifty files that look like a denied picture, to have its entry suspended. So

* only pictures count about which the policy would decide otherwise (:meth:`serve_app.lists.live.LiveLists.decided`);
* only entries by appearance are suspended: an exact one goes on to match its file;
* what a person has confirmed stays, and so does a ban (:meth:`serve_app.lists.store.ListStore.suspend`). That a person
  has put an entry on a list does not suffice: it may be a mistake, or spite;
* nothing is suspended within :data:`LEARNING_S` of a start, while nobody knows what is usual.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from serve_app.domain import Clock

WINDOW_S: Final = 600.0
MIN_MATCHES: Final = 50
MIN_SHARE: Final = 0.02
TIMES_BASELINE: Final = 10.0
MEMORY_S: Final = 86_400.0
LEARNING_S: Final = 3600.0

_STEP_S: Final = 10.0
_STEPS: Final = int(WINDOW_S / _STEP_S)


@dataclass(slots=True)
class _Window:
    """Counts by steps of the window: (number of the step, count), oldest first."""

    counts: deque[list[int]] = field(default_factory=deque)
    total: int = 0

    def add(self, step: int) -> None:
        if not self.counts or self.counts[-1][0] != step:
            self.counts.append([step, 0])
        self.counts[-1][1] += 1
        self.total += 1

    def leave(self, step: int) -> None:
        """Forget what is older than the window at ``step``."""
        while self.counts and self.counts[0][0] <= step - _STEPS:
            self.total -= self.counts.popleft()[1]


@dataclass(slots=True)
class _Entry:
    pictures: dict[str, int] = field(default_factory=dict)
    """The step of the window in which each picture, by its sha256, first matched; oldest first."""
    baseline: float = 0.0
    """Matches per second before the window, with a memory that fades."""
    faded_at_s: float = 0.0

    def fade(self, now_s: float, step: int) -> None:
        """What is older than the window at ``step`` becomes part of the baseline, which fades."""
        left = list(itertools.takewhile(lambda each: self.pictures[each] <= step - _STEPS, self.pictures))
        for each in left:
            del self.pictures[each]
        self.baseline *= math.exp(-(now_s - self.faded_at_s) / MEMORY_S)
        self.baseline += len(left) / MEMORY_S
        self.faded_at_s = now_s


class FloodGuard:
    """Counts the matches of each entry. One for each process; not for several threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s = clock()
        self._pictures = _Window()
        self._entries: dict[int, _Entry] = {}
        self._swept_in = 0

    def picture(self, sha256: str, entry: int | None) -> bool:
        """A picture was decided about, by ``entry`` if that is not None. True if the entry is to be suspended."""
        now_s = self._clock()
        step = int(now_s / _STEP_S)
        self._pictures.leave(step)
        self._pictures.add(step)
        self._sweep(step, now_s)
        if entry is None:
            return False
        counted = self._entries.setdefault(entry, _Entry(faded_at_s=now_s))
        counted.fade(now_s, step)
        counted.pictures.setdefault(sha256, step)
        matches = len(counted.pictures)
        if now_s - self._started_s < LEARNING_S or matches < max(MIN_MATCHES, MIN_SHARE * self._pictures.total):
            return False
        if matches < TIMES_BASELINE * counted.baseline * WINDOW_S:
            return False
        del self._entries[entry]
        return True

    def _sweep(self, step: int, now_s: float) -> None:
        """Once a window, forget entries that have hardly matched for long."""
        if step - self._swept_in < _STEPS:
            return
        self._swept_in = step
        for number, counted in list(self._entries.items()):
            counted.fade(now_s, step)
            if not counted.pictures and counted.baseline * MEMORY_S < 0.5:
                del self._entries[number]
