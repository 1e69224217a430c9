"""Memory for bodies, reserved before they are read.

Every body reserves a step at a time, as its bytes arrive. A declared length only shortens the last step, and is refused
unread where its first step has no room. If it were reserved at once, a few senders of a head alone could hold all the
memory for bodies that never come, and honest ones would be refused.

When all memory is reserved, the youngest body that is still being read is refused, so that older ones can be read to
their ends: otherwise half-read bodies could fill the memory for ever. Of several sources, the one that has reserved
most is asked first. Background bodies have a share of their own, and are refused before live ones.

Whole bodies give nothing back, so that no source of several may hold all: each leaves a part of what the others have
not taken (a dynamic threshold; Choudhury and Hahne 1998), however many sources there are.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from serve_app.domain import UNNAMED_SOURCE, Lane, OverloadedError

_STEP_BYTES = 1_000_000

# For all background bodies together, since they wait at the background gate with all of their bytes.
_BACKGROUND_SHARE = 0.25

# Of the memory that other sources have not taken: two sources that want all have three sevenths each, and a third one
# that comes then finds a seventh.
_SOURCE_SHARE = 0.75

_POOLS: Final = (((Lane.LIVE, Lane.BACKGROUND), 1.0), ((Lane.BACKGROUND,), _BACKGROUND_SHARE))
"""The lanes that share a part of the memory, and that part."""


class Reservation:
    """The memory of one body."""

    def __init__(self, memory: BodyMemory, declared_bytes: int | None, lane: Lane, source: str) -> None:
        self._memory = memory
        self._declared_bytes = declared_bytes
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
            step_bytes = _STEP_BYTES
            if self._declared_bytes is not None:
                step_bytes = min(step_bytes, self._declared_bytes - self.reserved_bytes)
            self._memory.extend(self, max(received_bytes - self.reserved_bytes, step_bytes))

    def finish(self, body_bytes: int) -> None:
        """The body is whole: it cannot be refused any more, and memory that it does not need is given back."""
        self._memory.finish(self, body_bytes)


class BodyMemory:
    """``max_bytes`` for all bodies of one process. For one event loop."""

    def __init__(self, max_bytes: int, *, has_sources: bool = False) -> None:
        """``has_sources`` if bodies come from several, of which none may hold all."""
        self._max_bytes = max_bytes
        self._has_sources = has_sources
        self._reserved_bytes: Counter[tuple[Lane, str]] = Counter()
        self._of_sources_bytes: Counter[str] = Counter()
        self._unfinished: list[Reservation] = []  # the oldest first

    @property
    def reserved_bytes(self) -> int:
        """The memory that all bodies together have reserved."""
        return self._reserved_bytes.total()

    @contextlib.contextmanager
    def reserve(
        self, declared_bytes: int | None, lane: Lane = Lane.LIVE, source: str = UNNAMED_SOURCE
    ) -> Iterator[Reservation]:
        """Memory for one body, until the block ends.

        A body that is larger than all the memory is let in if it is the only one, and one that is larger than the part
        of its source if it is the only one of that.

        Args:
            declared_bytes: its length, if the sender declares one.
            lane: who waits for the answer.
            source: that sends it.

        Raises:
            OverloadedError: there is no room for the first step of a declared length.
        """
        reservation = Reservation(self, declared_bytes, lane, source)
        self._unfinished.append(reservation)
        try:
            if declared_bytes:
                reservation.grow(1)
            yield reservation
        finally:
            self._release(reservation)

    def extend(self, reservation: Reservation, by_bytes: int) -> None:
        """Reserve ``by_bytes`` more, if necessary from bodies that are still being read.

        Raises:
            OverloadedError: no other body can give any back.
        """
        while not reservation.is_refused and (rivals := self._rivals(reservation, by_bytes)):
            refused = self._next_to_refuse(rivals)
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

    def _rivals(self, reservation: Reservation, by_bytes: int) -> Sequence[Reservation]:
        """The unfinished bodies of which one must go for ``by_bytes`` more; none if there is room for them.

        There is room if the memory of all bodies suffices, for a background body that of its lane too, and of each the
        part of the source.
        """

        def fits(taken_bytes: int, most_bytes: float) -> bool:
            return taken_bytes == reservation.reserved_bytes or taken_bytes + by_bytes <= most_bytes

        for lanes, share in _POOLS:
            if reservation.lane not in lanes:
                continue
            most_bytes, taken_bytes = self._max_bytes * share, self._taken_bytes(lanes)
            if not fits(taken_bytes, most_bytes):
                return [each for each in self._unfinished if each.lane in lanes]
            own_bytes = self._taken_bytes(lanes, reservation.source)
            left_bytes = most_bytes - (taken_bytes - own_bytes)
            if self._has_sources and not fits(own_bytes, left_bytes * _SOURCE_SHARE):
                return [each for each in self._unfinished if each.lane in lanes and each.source == reservation.source]
        return []

    def _taken_bytes(self, lanes: Sequence[Lane], source: str | None = None) -> int:
        """The memory of all bodies in ``lanes``, or of those of ``source``."""
        return sum(
            taken_bytes
            for (lane, of_source), taken_bytes in self._reserved_bytes.items()
            if lane in lanes and source in {None, of_source}
        )

    def _next_to_refuse(self, rivals: Sequence[Reservation]) -> Reservation:
        """The youngest of ``rivals``, of the source that has most; background bodies come first."""
        of_background = [each for each in rivals if each.lane is Lane.BACKGROUND]
        youngest_first = reversed(of_background or rivals)
        return max(youngest_first, key=lambda each: self._of_sources_bytes[each.source])

    def _release(self, reservation: Reservation) -> None:
        if reservation in self._unfinished:
            self._unfinished.remove(reservation)
        self._add(reservation, -reservation.reserved_bytes)

    def _add(self, reservation: Reservation, by_bytes: int) -> None:
        reservation.reserved_bytes += by_bytes
        self._reserved_bytes[reservation.lane, reservation.source] += by_bytes
        self._of_sources_bytes[reservation.source] += by_bytes
