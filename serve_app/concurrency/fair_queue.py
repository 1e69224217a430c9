"""Turns of several sources at what they all wait for, so that none of them can starve another one.

Start-time fair queueing (Goyal, Vin and Cheng 1996): each source has the virtual time at which its next turn begins,
and the earliest is served. A turn of a source with twice the share moves it on by half as much. A source that was away
comes back at the present: it neither saves turns up, nor pays for those that it had while it was alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns:
    """Whose turn it is. It remembers only sources that had a turn recently."""

    def __init__(self) -> None:
        self._now = 0.0
        self._begins: dict[str, float] = {}

    def first(self, sources: Iterable[str]) -> str:
        """The one of ``sources``, of which there is at least one, that is served next; of two, the first named."""
        return min(sources, key=self._beginning)

    def take(self, source: str, share: float) -> None:
        """Count a turn of ``source``, whose weight is ``share``."""
        self._now = self._beginning(source)
        self._begins[source] = self._now + 1.0 / share
        if len(self._begins) > 1:
            self._begins = {each: begins for each, begins in self._begins.items() if begins > self._now}

    def _beginning(self, source: str) -> float:
        return max(self._now, self._begins.get(source, 0.0))


class FairQueue(Generic[T]):
    """Things that wait: those of a source in the order of their arrival, and sources by turns."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._waiting: dict[str, deque[tuple[T, float]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def waiting(self, source: str) -> int:
        """How many things of ``source`` wait."""
        return len(self._waiting.get(source, ()))

    def put(self, thing: T, source: str, share: float) -> None:
        """Add ``thing``, of a source with the weight ``share``."""
        self._waiting.setdefault(source, deque()).append((thing, share))

    @property
    def head(self) -> T | None:
        """The next one; None if nothing waits."""
        return self._waiting[self._turns.first(self._waiting)][0][0] if self._waiting else None

    def pop(self) -> T:
        """Take the next one out.

        Raises:
            IndexError: nothing waits.
        """
        if not self._waiting:
            raise IndexError("nothing waits")
        source = self._turns.first(self._waiting)
        thing, share = self._waiting[source].popleft()
        self._turns.take(source, share)
        self._drop_if_empty(source)
        return thing

    def remove(self, thing: T, source: str) -> None:
        """Take ``thing`` of ``source`` out without a turn, if it waits."""
        waiting = self._waiting.get(source, ())
        at = next((at for at, (each, _) in enumerate(waiting) if each is thing), None)
        if at is not None:
            del self._waiting[source][at]
            self._drop_if_empty(source)

    def clear(self) -> list[T]:
        """Take all out, those of a source together."""
        things = [thing for waiting in self._waiting.values() for thing, _ in waiting]
        self._waiting.clear()
        return things

    def _drop_if_empty(self, source: str) -> None:
        if not self._waiting[source]:
            del self._waiting[source]
