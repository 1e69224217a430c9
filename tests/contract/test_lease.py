"""Work that one of several programs does: another one goes on within 30 s of the death of whoever did it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from serve_app.database.access import Database, open_database
from serve_app.database.location import Location
from serve_app.domain import WorkLease
from serve_app.ledger import MemoryLedger
from serve_app.ledger.sql_archive import SqlArchive
from serve_app.storage.leased_work import work_while_held
from tests.virtual_clock import VirtualClock

BOTH = 2


class OfOneThatDies:
    """A lease whose holder does not come to release it, and that cannot be renewed where it ``is_down``."""

    def __init__(self, lease: WorkLease) -> None:
        self._lease = lease
        self.is_down = False

    async def hold(self) -> bool:
        if self.is_down:
            raise ConnectionError("the database does not answer")
        return await self._lease.hold()

    async def release(self) -> None:
        raise ConnectionError("it was killed")


class Program:
    """One of those that would do the work."""

    def __init__(self, lease: WorkLease, clock: VirtualClock) -> None:
        self._is_working = False
        self._lease = lease
        self._clock = clock

    def works(self) -> bool:
        return self._is_working

    async def _work(self) -> None:
        self._is_working = True
        try:
            await asyncio.Event().wait()
        finally:
            self._is_working = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(work_while_held(self._lease, self._work, self._clock.sleep))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    clock = VirtualClock()
    monkeypatch.setattr(Database, "now_us", lambda *_: int(clock.now.timestamp() * 1e6))
    return clock


@pytest.fixture
def leases(location: Location) -> Iterator[list[WorkLease]]:
    archives = [SqlArchive(open_database(location)) for _ in range(2)]
    yield [archive.lease("work") for archive in archives]
    for archive in archives:
        archive.close()


async def test_the_work_moves_within_30_s_of_a_death(leases: list[WorkLease], clock: VirtualClock) -> None:
    one, other = Program(OfOneThatDies(leases[0]), clock), Program(leases[1], clock)
    async with one.running() as dying:
        await clock.asleep(1)
        async with other.running():
            await clock.advance(120, BOTH)
            assert (one.works(), other.works()) == (True, False)
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
            await clock.advance(20, 1)
            assert not other.works()
            await clock.advance(10, 1)
            assert other.works()


async def test_the_work_moves_at_once_from_one_that_ends(leases: list[WorkLease], clock: VirtualClock) -> None:
    one, other = (Program(lease, clock) for lease in leases)
    async with other.running():
        await clock.asleep(1)
        async with one.running():
            await clock.advance(120, BOTH)
            assert (one.works(), other.works()) == (False, True)
    async with one.running():
        await clock.asleep(1)
        assert one.works()


async def test_a_lease_that_cannot_be_renewed_ends_the_work(leases: list[WorkLease], clock: VirtualClock) -> None:
    lease = OfOneThatDies(leases[0])
    program = Program(lease, clock)
    async with program.running():
        await clock.asleep(1)
        assert program.works()
        lease.is_down = True
        await clock.advance(4, 1)
        assert not program.works()
        lease.is_down = False
        await clock.advance(4, 1)
        assert program.works()


async def test_a_ledger_in_memory_has_one_program() -> None:
    lease = MemoryLedger().lease("work")
    assert await lease.hold()
    await lease.release()
    assert await lease.hold()
