"""What a worker did too slowly, too late or not at all, counted until it is too much; and who may not come back yet."""

from __future__ import annotations

from collections import Counter
from typing import Final

from serve_app.domain import Clock
from serve_app.remote.trust.recent import Recent

_HALVED_AFTER_S: Final = 300.0
_FORGIVEN_A_PICTURE: Final = 0.1
"""Of a strike: one picture in ten may be late for good."""

_INCIDENT_S: Final = 1.0
"""A connection that breaks takes many pictures with it: they are one strike."""

_MOST_STRIKES: Final = 8.0
_KEPT: Final = 256


class Strikes:
    """Those of one worker."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` gives seconds."""
        self._clock = clock
        self._level = 0.0
        self._counted_at_s = clock()
        self._last_s: float | None = None
        self._why: Counter[str] = Counter()

    def add(self, why: str) -> None:
        """Something went wrong; ``why`` is one of few kinds, for people."""
        now_s = self._decay()
        if self._last_s is None or now_s - self._last_s >= _INCIDENT_S:
            self._last_s = now_s
            self._level += 1.0
            self._why[why] += 1

    def forgive(self) -> None:
        """It scored a picture."""
        self._decay()
        self._level = max(0.0, self._level - _FORGIVEN_A_PICTURE)

    @property
    def are_too_many(self) -> bool:
        """Whether the worker should rest for a while."""
        self._decay()
        return self._level >= _MOST_STRIKES

    def __str__(self) -> str:
        return ", ".join(f"{why} ({count})" for why, count in self._why.most_common())

    def _decay(self) -> float:
        now_s = self._clock()
        self._level *= 0.5 ** ((now_s - self._counted_at_s) / _HALVED_AFTER_S)
        self._counted_at_s = now_s
        if self._level < _FORGIVEN_A_PICTURE:
            self._why.clear()
        return now_s


class KeptOut:
    """Owners or workers that may not connect for a while: the last 256."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` gives seconds."""
        self._clock = clock
        self._until_s: Recent[str, float] = Recent(_KEPT)

    def keep_out(self, name: str, for_s: float) -> None:
        """Nobody of this name for ``for_s`` seconds."""
        self._until_s[name] = max(self._clock() + for_s, self._until_s.get(name, 0.0))

    def remaining_s(self, name: str) -> float:
        """Seconds for which nobody of this name is taken; zero if they are."""
        remaining_s = self._until_s.get(name, 0.0) - self._clock()
        if remaining_s <= 0:
            self._until_s.pop(name, None)
        return max(0.0, remaining_s)
