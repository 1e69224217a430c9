"""When waiting pictures are bound."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from serve_app.domain import Lane
from serve_app.remote.fleet.binding import Binding
from serve_app.remote.fleet.timers import EARLY_S


class Rounds:
    """Binds what waits, once what happens at the same time has happened, and again when a worker has room."""

    def __init__(self, bindings: Sequence[Binding]) -> None:
        """In each lane the binding goes first whose picture is due first; of equals, the first of ``bindings``."""
        self._bindings = bindings
        self._is_due = False
        self._next_room: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Something may be bound."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._bind)

    def _bind(self) -> None:
        self._is_due = False
        if self._next_room is not None:
            self._next_room.cancel()
        room_in_s = math.inf
        for lane in Lane:
            wanted = [binding for binding in self._bindings if binding.waiting.waits(lane)]
            for binding in sorted(wanted, key=lambda each: each.waiting.first_due_s("", lane)):
                room_in_s = min(room_in_s, binding.bind((lane,)))
        if room_in_s < math.inf:
            self._next_room = asyncio.get_running_loop().call_later(room_in_s + EARLY_S, self.soon)
