"""The admin API over a ledger and lists in memory, on a port of the loopback, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from typer.testing import Result

from serve_app.administration.stored_pictures import Moderate
from serve_app.domain import Body, Call, Decision
from serve_app.domain.workers import WorkersView
from serve_app.http.admin import create_admin_app
from serve_app.http.guard import Guard
from serve_app.http.server import serving
from serve_app.ledger import MemoryLedger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.settings import Settings, parse_settings

Run = Callable[..., Result]
"""Runs ``pictwarden`` with these arguments: ``run("decisions", typed="y", exit_code=0)``."""

SECRET = "the-secret-of-alice"

T = TypeVar("T")


async def _scan_nothing(body: Body, call: Call, by_terms_of: str | None) -> Decision:
    raise AssertionError("nothing is scanned here")


class AdminService:
    """A running admin API; ``url`` is its own."""

    def __init__(self, ledger: MemoryLedger, lists: MemoryListStore, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.ledger = ledger
        self.lists = lists
        self.url = url
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns, on the loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def record(self, *given: Decision) -> None:
        for each in given:
            self.run(self.ledger.record(each))

    def actions(self) -> list[tuple[str, str]]:
        """The audit: who, and what; the newest first."""
        return [(each.actor, each.action) for each in self.run(self.ledger.audit_trail())]


@contextlib.contextmanager
def running_admin_service(
    settings: Settings | None = None,
    moderate: Moderate = _scan_nothing,
    ledger: MemoryLedger | None = None,
    workers: WorkersView | None = None,
) -> Iterator[AdminService]:
    """An admin API over empty lists, and a ledger that is empty unless it is given."""
    ledger, lists = ledger or MemoryLedger(), MemoryListStore()
    guard = Guard(["a-secret-for-pict-rs"], admin_secrets={"alice": SECRET})
    app = create_admin_app(guard, ledger, lists, settings or parse_settings({}), moderate, workers)
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
        yield AdminService(ledger, lists, f"http://{host}:{port}", loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
