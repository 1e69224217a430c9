"""The admin API over a ledger in memory, on a port of the loopback, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

from serve_app.domain import Decision
from serve_app.http.admin import create_admin_app
from serve_app.http.guard import Guard
from serve_app.http.server import serving
from serve_app.ledger import MemoryLedger

SECRET = "the-secret-of-alice"


class AdminService:
    """A running admin API; ``url`` is its own."""

    def __init__(self, ledger: MemoryLedger, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.ledger = ledger
        self.url = url
        self._loop = loop

    def record(self, *given: Decision) -> None:
        async def record() -> None:
            for each in given:
                await self.ledger.record(each)

        asyncio.run_coroutine_threadsafe(record(), self._loop).result(10)

    def actions(self) -> list[tuple[str, str]]:
        """The audit: who, and what; the newest first."""
        entries = asyncio.run_coroutine_threadsafe(self.ledger.audit_trail(), self._loop).result(10)
        return [(each.actor, each.action) for each in entries]


@contextlib.contextmanager
def running_admin_service() -> Iterator[AdminService]:
    """An admin API over an empty ledger."""
    ledger = MemoryLedger()
    guard = Guard(["a-secret-for-pict-rs"], admin_secrets={"alice": SECRET})
    app = create_admin_app(guard, ledger)
    listener = socket.create_server(("127.0.0.1", 0))
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with serving(app, 8.0, [listener], stop):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        host, port = listener.getsockname()
        yield AdminService(ledger, f"http://{host}:{port}", loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
