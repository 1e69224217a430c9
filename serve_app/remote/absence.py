"""Whether somebody is there to score, said without flapping; and what becomes of pictures meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from serve_app.domain import Clock, OnUnscanned
from serve_app.settings import FallbackKind

AWAY_AFTER_S: Final = 10.0
"""Seconds without a worker until that is said: one whose connection was cut is back before."""

BACK_AFTER_S: Final = 10.0
"""Seconds with a worker until that is said: one that comes and goes is none."""

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks."""


class Absence:
    """Looks every second whether a worker is there; for one event loop.

    Which pictures go where does not depend on it: that is decided for each picture, by who is there in that moment.
    """

    def __init__(
        self,
        is_anybody_there: Callable[[], bool],
        switched: Callable[[bool], None],
        came_back: asyncio.Event | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """At first nobody is there, and that has not been said.

        Args:
            is_anybody_there: whether a worker takes pictures now, or somebody else does.
            switched: told True once nobody has been there for :data:`AWAY_AFTER_S`, and False once somebody has been
                for :data:`BACK_AFTER_S` after that. It raises nothing.
            came_back: set in the moment in which the first one comes: work that waited for that can begin.
            clock: of the seconds.
        """
        self._is_anybody_there = is_anybody_there
        self._switched = switched
        self._came_back = came_back or asyncio.Event()
        self._clock = clock
        self._is_there = False
        self._since_s = clock()
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Whether the last word was that nobody is there."""
        return self._is_away

    def look(self) -> None:
        """Look once."""
        now_s, is_there = self._clock(), self._is_anybody_there()
        if is_there is not self._is_there:
            self._is_there, self._since_s = is_there, now_s
            if is_there:
                self._came_back.set()
        after_s = BACK_AFTER_S if is_there else AWAY_AFTER_S
        if self._is_away is is_there and now_s - self._since_s >= after_s:
            self._is_away = not is_there
            self._switched(self._is_away)

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Look until this is cancelled; nobody could come before it began."""
        self._since_s = self._clock()
        while True:
            self.look()
            await sleep(LOOK_EVERY_S)


def what_happens(kind: FallbackKind, on_unscanned: OnUnscanned, *, has_others: bool = False) -> str:
    """What becomes of uploads while no worker is there, in words; the others are workers of fedi-safety."""
    if has_others:
        return "workers of fedi-safety scan uploads"
    match kind:
        case "cpu":
            return "this machine scores what it can in time"
        case "classifier":
            return "a classifier looks at uploads, and what it lets through is scanned once a worker is back"
        case "none" if on_unscanned is OnUnscanned.ACCEPT:
            return "pictures are stored unscanned, and scanned once a worker is back"
        case _:
            return "all pictures are refused"
