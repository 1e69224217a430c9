"""Twins: the same bytes in flight are examined once, for all callers.

The first caller's examination serves the later ones, the *followers*, as well. A follower keeps its own deadline and
does not depend on the first caller, which may disconnect: if the examination fails for a reason that does not lie in
the bytes, a follower starts another one in its remaining time. A live caller does not wait for the background lane: it
starts the examination anew in its own lane, and the background callers wait for that one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serve_app.domain import Deadline, Lane, UnscannableError
from serve_app.moderation.shared_call import AbandonedError, SharedCall

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Flight(Generic[T]):
    """One examination and its lane."""

    lane: Lane
    call: SharedCall[T]


class Twins(Generic[T]):
    """Examinations in flight by what is examined, and for what. For one event loop."""

    def __init__(self, holds_in_each_lane: Callable[[T | UnscannableError], bool]) -> None:
        """``holds_in_each_lane`` tells whether a caller in the other lane may have an outcome too."""
        self._holds_in_each_lane = holds_in_each_lane
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def examine(
        self, key: Hashable, lane: Lane, deadline: Deadline, examination: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """The outcome of ``examination``, or of a twin's: one with the same ``key``.

        Raises:
            UnscannedError: as ``examination``; from a twin's examination only errors that lie in the bytes.
            DeadlineExceededError: no time is left to start another examination.
        """
        while True:
            flight = self._in_flight(key, lane)
            is_own = flight is None
            if flight is None:
                deadline.require("scanning")
                flight = self._start(key, lane, examination)
            outcome: T | UnscannableError
            try:
                outcome = await flight.call.result()
            except AbandonedError:
                continue
            except UnscannableError as error:
                outcome = error
            except Exception:
                if is_own:
                    raise
                continue
            if flight.lane is lane or self._holds_in_each_lane(outcome):
                if isinstance(outcome, UnscannableError):
                    raise outcome
                return outcome

    def _in_flight(self, key: Hashable, lane: Lane) -> _Flight[T] | None:
        """The examination that a caller in ``lane`` can wait for."""
        flight = self._flights.get(key)
        if flight is None or not flight.call.is_running or (lane is Lane.LIVE and flight.lane is Lane.BACKGROUND):
            return None
        return flight

    def _start(self, key: Hashable, lane: Lane, examination: Callable[[], Coroutine[Any, Any, T]]) -> _Flight[T]:
        """Start ``examination``; it abandons a twin's in the background."""

        def forget() -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        overtaken = self._flights.get(key)
        flight = _Flight(lane, SharedCall(examination(), forget))
        self._flights[key] = flight
        if overtaken is not None:
            overtaken.call.abandon()
        return flight
