"""A lease in the database, for event loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from serve_app.database.lease import Lease

T = TypeVar("T")


class InThread(Protocol):
    """Runs what waits for the database in a thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What ``work`` returns or raises."""
        ...


class SqlLease:
    """:class:`serve_app.domain.WorkLease` over a row of the database."""

    def __init__(self, lease: Lease, in_thread: InThread) -> None:
        self._lease = lease
        self._in_thread = in_thread

    async def hold(self) -> bool:
        """See the port."""
        return await self._in_thread(self._lease.hold)

    async def release(self) -> None:
        """See the port."""
        await self._in_thread(self._lease.release)
