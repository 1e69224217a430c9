"""Memory for bodies, reserved before they are read.

A body with a declared length reserves it at once, another one a step at a time. When all is reserved, the youngest body
that is still being read is refused, so that the older ones can be read to their ends: were it the one that asks, many
half-read bodies could fill the memory and none would ever be whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from serve_app.domain import OverloadedError

_STEP_BYTES = 1_000_000


class Reservation:
    """The memory of one body."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.reserved_bytes = 0
        self.is_refused = False
        self.on_refused: Callable[[], None] = lambda: None
        """Called when the body is refused in favour of an older one; it must end the reading."""

    def grow(self, received_bytes: int) -> None:
        """Reserve what a body of ``received_bytes`` takes, before it is kept.

        Raises:
            OverloadedError: all memory is reserved, and no other body is younger and unfinished.
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
        self._reserved_bytes = 0
        self._unfinished: list[Reservation] = []  # the oldest first

    @property
    def reserved_bytes(self) -> int:
        """By all bodies together."""
        return self._reserved_bytes

    @contextlib.contextmanager
    def reserve(self, declared_bytes: int | None) -> Iterator[Reservation]:
        """Memory for one body, for as long as the block.

        A body that is larger than ``max_bytes`` is let in where it is alone.

        Args:
            declared_bytes: its length, where the sender tells it.

        Raises:
            OverloadedError: all memory is reserved.
        """
        reservation = Reservation(self)
        self._unfinished.append(reservation)
        try:
            if declared_bytes is not None:
                self.extend(reservation, declared_bytes)
            yield reservation
        finally:
            self._release(reservation)

    def extend(self, reservation: Reservation, by_bytes: int) -> None:
        """Reserve ``by_bytes`` more, if need be at the cost of younger bodies that are still being read.

        Raises:
            OverloadedError: there is none to take it from.
        """
        while not reservation.is_refused and not self._has_room(reservation, by_bytes):
            youngest = self._unfinished[-1]
            youngest.is_refused = True
            self._release(youngest)
            if youngest is not reservation:
                youngest.on_refused()
        if reservation.is_refused:
            raise OverloadedError(f"{self._reserved_bytes} bytes of pictures are being read or scanned already")
        reservation.reserved_bytes += by_bytes
        self._reserved_bytes += by_bytes

    def finish(self, reservation: Reservation, body_bytes: int) -> None:
        """See :meth:`Reservation.finish`."""
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
            self._reserved_bytes += body_bytes - reservation.reserved_bytes
            reservation.reserved_bytes = body_bytes

    def _has_room(self, reservation: Reservation, by_bytes: int) -> bool:
        is_alone = self._reserved_bytes == reservation.reserved_bytes
        return is_alone or self._reserved_bytes + by_bytes <= self._max_bytes

    def _release(self, reservation: Reservation) -> None:
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
        self._reserved_bytes -= reservation.reserved_bytes
        reservation.reserved_bytes = 0
