"""Time that passes only when a test says so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """A clock, and sleeps that end by it."""

    def __init__(self, now: datetime = datetime(2026, 11, 25, 12, tzinfo=UTC)) -> None:
        self.now = now
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self._has_changed = asyncio.Event()

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Until so much has passed."""
        sleeper = self.now + timedelta(seconds=seconds), asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        self._has_changed.set()
        try:
            await sleeper[1]
        finally:
            self._sleepers = [each for each in self._sleepers if each[1] is not sleeper[1]]
            self._has_changed.set()

    def set_back(self, now: datetime) -> None:
        """Somebody sets the clock: whoever sleeps does so for as long as before."""
        earlier, self.now = self.now, now
        self._sleepers = [(due - (earlier - now), future) for due, future in self._sleepers]

    def wake(self) -> None:
        """Wake those whose time has come."""
        for due, future in self._sleepers:
            if due <= self.now and not future.done():
                future.set_result(None)

    async def asleep(self, count: int) -> None:
        """Wait until so many sleep, and what they have begun has run for a few steps."""
        while sum(not future.done() for _, future in self._sleepers) != count:
            self._has_changed.clear()
            await self._has_changed.wait()
        for _ in range(3):
            await asyncio.sleep(0)

    async def advance(self, seconds: float, count: int) -> None:
        """Let so much pass; ``count`` sleep, before and after each of them has been woken."""
        end = self.now + timedelta(seconds=seconds)
        await self.asleep(count)
        while (first := min(self._sleepers, key=lambda each: each[0]))[0] <= end:
            self.now = first[0]
            first[1].set_result(None)
            await asyncio.sleep(0)
            await self.asleep(count)
        self.now = end
