"""The service of one process, with the fake engine and a ledger in memory, in a thread beside the command."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

from serve_app import standalone
from serve_app.http.guard import Guard
from serve_app.policy import Policies, Policy
from serve_app.settings import parse_settings
from tests.unit.cli.admin_service import SECRET

SCAN_SECRET = "a-secret-for-pict-rs"


@contextlib.contextmanager
def running_service(policy: Policy) -> Iterator[dict[str, str]]:
    """What the environment of a command needs to find the service."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    scan, admin = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    environment = {
        "PICTWARDEN_URL": f"http://127.0.0.1:{scan.getsockname()[1]}/api/v1/scan/{SCAN_SECRET}",
        "PICTWARDEN_ADMIN_URL": f"http://127.0.0.1:{admin.getsockname()[1]}",
        "PICTWARDEN_ADMIN_SECRETS": f"alice:{SECRET}",
    }
    serving = standalone.serve(
        parse_settings({"model": {"source": "fake"}, "decode_workers": 1, "ledger": "memory"}),
        Policies(policy),
        Guard([SCAN_SECRET], admin_secrets={"alice": SECRET}),
        standalone.Sockets([scan], [admin]),
        stop,
        lambda identity, ready_after_s: ready.set(),
    )
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,), daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield environment
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
