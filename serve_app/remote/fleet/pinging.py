"""Pings to one worker, by which a link that is cut shows while nothing else comes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from serve_app.remote.fleet.link import Link
from serve_app.remote.fleet.timers import EARLY_S

_BUSY_S, _IDLE_S = 1.0, 10.0

# A worker owes its answer to a ping within these, beside the pictures that travel before it.
_SILENT_AFTER_S = 2.0
_LOST_AFTER_S = 30.0


class Pinging:
    """Pings every second while the worker has work, else every ten; from the next turn of the event loop on."""

    def __init__(
        self, link: Link, is_busy: Callable[[], bool], fell_silent: Callable[[str], None], lost: Callable[[str], None]
    ) -> None:
        """``fell_silent`` and ``lost`` are told why; after ``lost`` nothing is sent any more."""
        self._link, self._is_busy, self._fell_silent, self._lost = link, is_busy, fell_silent, lost
        self.is_silent = False
        """Whether the worker owes an answer for too long."""
        self._pinged_s = -math.inf
        # Once whoever takes the worker has said that it is accepted.
        self._next: asyncio.Handle = asyncio.get_running_loop().call_soon(self._look_again)

    def ping(self) -> None:
        """Before the worker gets work: ping, unless that was within the last second, and look at what it owes."""
        self._look(is_busy=True)

    def _look_again(self) -> None:
        self._look(is_busy=self._is_busy())

    def _look(self, *, is_busy: bool) -> None:
        self._next.cancel()
        silent_s = self._link.silent_s
        why = f"silent for {silent_s:.0f} s"
        owed_after_s = self._link.transfer_s(0)
        if silent_s > _LOST_AFTER_S + owed_after_s:
            self._lost(why)
            return
        if silent_s > _SILENT_AFTER_S + owed_after_s and not self.is_silent:
            self.is_silent = True
            self._fell_silent(why)
        loop = asyncio.get_running_loop()
        # Of a worker that has a picture every now and then, each would bring a ping, which costs as much as its scores.
        if loop.time() >= self._pinged_s + _BUSY_S - EARLY_S:
            self._link.ping()
            self._pinged_s = loop.time()
        pause_s = _BUSY_S if silent_s or is_busy else _IDLE_S
        self._next = loop.call_at(self._pinged_s + pause_s, self._look_again)

    def stop(self) -> None:
        """Ping no more."""
        self._next.cancel()
