"""Memory for bodies, reserved before they are read.

A body with a declared length reserves it at once; any other body reserves a step at a time. When all memory is
reserved, the youngest body that is still being read is refused, so that older ones can be read to their ends: otherwise
half-read bodies could fill the memory for ever. Of several sources, the one that has reserved most is asked first.
Background bodies have a share of their own, and are refused before live ones.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

from serve_app.domain import UNNAMED_SOURCE, Lane, OverloadedError

_STEP_BYTES = 1_000_000

# For all background bodies together, since they wait at the background gate with all of their bytes.
_BACKGROUND_SHARE = 0.25


class Reservation:
    """The memory of one body."""

    def __init__(self, memory: BodyMemory, lane: Lane, source: str) -> None:
        self._memory = memory
        self.lane = lane
        self.source = source
        self.reserved_bytes = 0
        self.is_refused = False
        self.on_refused: Callable[[], None] = lambda: None
        """Called when another body takes this memory; it must end the reading."""

    def grow(self, received_bytes: int) -> None:
        """Reserve the memory of a body of ``received_bytes``, before these are stored.

        Raises:
            OverloadedError: all memory is reserved, and no other body can give any back.
        """
        if received_bytes > self.reserved_bytes:
            self._memory.extend(self, max(received_bytes - self.reserved_bytes, _STEP_BYTES))

    def finish(self, body_bytes: int) -> None:
        """The body is whole: it cannot be refused any more, and memory that it does not need is given back."""
        self._memory.finish(self, body_bytes)


class BodyMemory:
    """``max_bytes`` for all bodies of one process. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reserved_bytes = dict.fromkeys(Lane, 0)
        self._of_sources_bytes: Counter[str] = Counter()
        self._unfinished: list[Reservation] = []  # the oldest first

    @property
    def reserved_bytes(self) -> int:
        """The memory that all bodies together have reserved."""
        return sum(self._reserved_bytes.values())

    @contextlib.contextmanager
    def reserve(
        self, declared_bytes: int | None, lane: Lane = Lane.LIVE, source: str = UNNAMED_SOURCE
    ) -> Iterator[Reservation]:
        """Memory for one body, until the block ends.

        A body that is larger than all the memory is let in if it is the only one.

        Args:
            declared_bytes: its length, if the sender declares one.
            lane: who waits for the answer.
            source: that sends it.

        Raises:
            OverloadedError: all memory is reserved.
        """
        reservation = Reservation(self, lane, source)
        self._unfinished.append(reservation)
        try:
            if declared_bytes is not None:
                self.extend(reservation, declared_bytes)
            yield reservation
        finally:
            self._release(reservation)

    def extend(self, reservation: Reservation, by_bytes: int) -> None:
        """Reserve ``by_bytes`` more, if necessary from bodies that are still being read.

        Raises:
            OverloadedError: no other body can give any back.
        """
        while not reservation.is_refused and not self._has_room(reservation, by_bytes):
            refused = self._next_to_refuse()
            refused.is_refused = True
            self._release(refused)
            if refused is not reservation:
                refused.on_refused()
        if reservation.is_refused:
            raise OverloadedError(f"no memory for the picture: others take {self.reserved_bytes} bytes")
        self._add(reservation, by_bytes)

    def finish(self, reservation: Reservation, body_bytes: int) -> None:
        """See :meth:`Reservation.finish`."""
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
            self._add(reservation, body_bytes - reservation.reserved_bytes)

    def _has_room(self, reservation: Reservation, by_bytes: int) -> bool:
        """Whether the memory of all bodies suffices, and for a background body that of its lane too."""
        room = [(self.reserved_bytes, float(self._max_bytes))]
        if reservation.lane is Lane.BACKGROUND:
            room.append((self._reserved_bytes[Lane.BACKGROUND], self._max_bytes * _BACKGROUND_SHARE))
        return all(taken == reservation.reserved_bytes or taken + by_bytes <= most for taken, most in room)

    def _next_to_refuse(self) -> Reservation:
        """The youngest body that is still being read, of the source that has most; background bodies come first."""
        of_background = [each for each in self._unfinished if each.lane is Lane.BACKGROUND]
        youngest_first = reversed(of_background or self._unfinished)
        return max(youngest_first, key=lambda each: self._of_sources_bytes[each.source])

    def _release(self, reservation: Reservation) -> None:
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
        self._add(reservation, -reservation.reserved_bytes)

    def _add(self, reservation: Reservation, by_bytes: int) -> None:
        reservation.reserved_bytes += by_bytes
        self._reserved_bytes[reservation.lane] += by_bytes
        self._of_sources_bytes[reservation.source] += by_bytes
