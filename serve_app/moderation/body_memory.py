"""Memory for bodies, reserved before they are read.

A body with a declared length reserves it at once, another one a step at a time. When all is reserved, the youngest body
that is still being read is refused, so that the older ones can be read to their ends: were it the one that asks, many
half-read bodies could fill the memory and none would ever be whole. Background bodies have a share of their own, and
are refused before live ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from serve_app.domain import Lane, OverloadedError

_STEP_BYTES = 1_000_000

# Of the memory, for all background bodies together: they wait for their turn with all of their bytes.
_BACKGROUND_SHARE = 0.25


class Reservation:
    """The memory of one body."""

    def __init__(self, memory: BodyMemory, lane: Lane) -> None:
        self._memory = memory
        self.lane = lane
        self.reserved_bytes = 0
        self.is_refused = False
        self.on_refused: Callable[[], None] = lambda: None
        """Called when the body is refused in favour of another one; it must end the reading."""

    def grow(self, received_bytes: int) -> None:
        """Reserve what a body of ``received_bytes`` takes, before it is kept.

        Raises:
            OverloadedError: all memory is reserved, and there is no other body to take it from.
        """
        if received_bytes > self.reserved_bytes:
            self._memory.extend(self, max(received_bytes - self.reserved_bytes, _STEP_BYTES))

    def finish(self, body_bytes: int) -> None:
        """The body is whole: it cannot be refused in favour of another one, and what it does not need is given back."""
        self._memory.finish(self, body_bytes)


class BodyMemory:
    """``max_bytes`` for all bodies of one process. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reserved_bytes = dict.fromkeys(Lane, 0)
        self._unfinished: list[Reservation] = []  # the oldest first

    @property
    def reserved_bytes(self) -> int:
        """By all bodies together."""
        return sum(self._reserved_bytes.values())

    @contextlib.contextmanager
    def reserve(self, declared_bytes: int | None, lane: Lane = Lane.LIVE) -> Iterator[Reservation]:
        """Memory for one body, for as long as the block.

        A body that is larger than what there is for it has room where it is alone.

        Args:
            declared_bytes: its length, where the sender tells it.
            lane: who waits for the answer.

        Raises:
            OverloadedError: all memory is reserved.
        """
        reservation = Reservation(self, lane)
        self._unfinished.append(reservation)
        try:
            if declared_bytes is not None:
                self.extend(reservation, declared_bytes)
            yield reservation
        finally:
            self._release(reservation)

    def extend(self, reservation: Reservation, by_bytes: int) -> None:
        """Reserve ``by_bytes`` more, if need be at the cost of others that are still being read.

        Raises:
            OverloadedError: there is none to take it from.
        """
        while not reservation.is_refused and not self._has_room(reservation, by_bytes):
            refused = self._next_to_refuse()
            refused.is_refused = True
            self._release(refused)
            if refused is not reservation:
                refused.on_refused()
        if reservation.is_refused:
            raise OverloadedError(f"{self.reserved_bytes} bytes of pictures are being read or scanned already")
        self._add(reservation, by_bytes)

    def finish(self, reservation: Reservation, body_bytes: int) -> None:
        """See :meth:`Reservation.finish`."""
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
            self._add(reservation, body_bytes - reservation.reserved_bytes)

    def _has_room(self, reservation: Reservation, by_bytes: int) -> bool:
        """Among all bodies, and one of the background among those of the background."""
        room = [(self.reserved_bytes, float(self._max_bytes))]
        if reservation.lane is Lane.BACKGROUND:
            room.append((self._reserved_bytes[Lane.BACKGROUND], self._max_bytes * _BACKGROUND_SHARE))
        return all(taken == reservation.reserved_bytes or taken + by_bytes <= most for taken, most in room)

    def _next_to_refuse(self) -> Reservation:
        """The youngest body that is still being read; one of the background if there is any."""
        of_background = [each for each in self._unfinished if each.lane is Lane.BACKGROUND]
        return (of_background or self._unfinished)[-1]

    def _release(self, reservation: Reservation) -> None:
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
        self._add(reservation, -reservation.reserved_bytes)

    def _add(self, reservation: Reservation, by_bytes: int) -> None:
        reservation.reserved_bytes += by_bytes
        self._reserved_bytes[reservation.lane] += by_bytes
