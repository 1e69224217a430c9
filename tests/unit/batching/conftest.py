"""A clock that only the tests move, and a device whose passes only the tests end."""

import asyncio

import pytest


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


class Device:
    """Runs passes that end when the test says so; an item that is an exception poisons its pass."""

    def __init__(self, clock):
        self.clock = clock
        self.passes = []
        self.kinds = []
        self._ends = []

    async def run_pass(self, kind, items):
        self.passes.append(list(items))
        self.kinds.append(kind)
        self._ends.append(asyncio.get_running_loop().create_future())
        await self._ends[-1]
        for item in items:
            if isinstance(item, Exception):
                raise item
        return [f"seen {item}" for item in items]

    @property
    def is_busy(self):
        return bool(self._ends) and not self._ends[-1].done()

    async def end_pass(self, seconds=0.1):
        await self.settle()
        self.clock.now_s += seconds
        self._ends[-1].set_result(None)
        await self.settle()

    @staticmethod
    async def settle():
        """Let every task run until it waits for something that only the test can give."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def device(clock):
    return Device(clock)


@pytest.fixture(scope="session")
def new_device():
    """For tests that play many times: makes a device with a clock of its own."""
    return lambda: Device(Clock())
