"""What the tests of the command share: a stand-in for the service, and a folder of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.database.access import open_database
from serve_app.domain.canary import CANARY_REASON
from tests.unit.cli.admin_service import SECRET, AdminService, Run, running_admin_service
from tests.unit.cli.storage_bench import Bench

SCAN_PATH = "/api/v1/scan/secret-of-the-tests"

# The stand-in scans nothing: the first word of a "picture" says what is answered.
ANSWERS: dict[bytes, tuple[int, dict[str, Any]]] = {
    b"accept": (200, {"verdict": "accept", "reason": "policy", "message": "no rule holds", "scores": {"red": 0.125}}),
    b"flag": (200, {"verdict": "flag", "reason": "policy", "rule": "odd", "message": "odd", "margin": 0.25}),
    b"reject": (
        406,
        {"verdict": "reject", "reason": "policy", "rule": "no-red", "message": "It is red.", "scores": None},
    ),
    b"canary": (406, {"verdict": "reject", "reason": "listed", "message": CANARY_REASON}),
    b"denied": (406, {"verdict": "reject", "reason": "listed", "message": "seen before"}),
    b"allowed": (200, {"verdict": "accept", "reason": "listed", "message": "a mistake of the model"}),
    b"broken": (422, {"verdict": None, "reason": "undecodable", "message": "not a readable image/png"}),
    b"busy": (503, {"verdict": None, "reason": "overloaded", "message": "too many are waiting"}),
    b"unscanned": (200, {"verdict": None, "reason": "deadline", "message": "stored unscanned"}),
    b"demo": (
        200,
        {"verdict": "accept", "reason": "policy", "message": "fine", "notice": "demo [only], protects nobody"},
    ),
    b"other": (200, {"status": "ok"}),
    b"list": (200, ["no", "object"]),  # type: ignore[dict-item]
}


class StandIn:
    """A server on the loopback that answers like Pictwarden, and remembers what it was sent.

    ``busy_for``: requests that are answered 503 whatever they say. ``says`` stands for the words of every picture.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.lanes: set[str | None] = set()
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.busy_for = 0
        self.says: bytes | None = None
        self.retry_after: str | None = "0"
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stand_in.bodies.append(body)
                stand_in.paths.add(self.path)
                stand_in.headers.append(dict(self.headers))
                stand_in.lanes.add(self.headers["X-Pictwarden-Lane"])
                stand_in.is_asked.set()
                stand_in.may_answer.wait(30)
                body = stand_in.says or body
                if stand_in.busy_for:
                    stand_in.busy_for -= 1
                    body = b"busy"
                if body.startswith(b"html"):
                    self._answer(200, b"<!doctype html><title>It works</title>", "text/html")
                    return
                status, fields = ANSWERS[body.split()[0]]
                self._answer(status, json.dumps(fields).encode(), "application/json")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                if status == 503 and stand_in.retry_after is not None:
                    self.send_header("Retry-After", stand_in.retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing: pytest shows what a failing test printed, and this is no part of it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{SCAN_PATH}"


@pytest.fixture
def service() -> Iterator[StandIn]:
    """The stand-in, running."""
    stand_in = StandIn()
    with stand_in.server as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield stand_in
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in an environment that knows no service."""
    monkeypatch.chdir(tmp_path)
    for name in ("PICTWARDEN_URL", "PICTWARDEN_SECRETS", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def admin() -> Iterator[AdminService]:
    """A running admin API over an empty ledger."""
    with running_admin_service() as service:
        yield service


@pytest.fixture
def run(admin: AdminService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of an admin whose environment is right."""
    monkeypatch.setenv("PICTWARDEN_ADMIN_SECRETS", f"alice:{SECRET}")
    monkeypatch.setenv("PICTWARDEN_ADMIN_URL", admin.url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, typed: str | None = None, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=typed)
        assert result.exit_code == exit_code, result.output
        return result

    return run


@pytest.fixture
def bench(tmp_path: Path, service: StandIn, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for says, (status, fields) in ANSWERS.items():
        if "verdict" in fields:
            monkeypatch.setitem(ANSWERS, says, (status, {"request_id": "r-1", "elapsed_ms": 1.0, **fields}))
    bench = Bench(tmp_path, {"PICTWARDEN_URL": service.url, "STATE_DIRECTORY": str(tmp_path), "COLUMNS": "200"})
    bench.store.mkdir()
    database = open_database(bench.location)
    database.prepare()
    database.close()
    # It holds for the whole process, which here is that of the tests.
    monkeypatch.setattr("serve_app.cli.storage.scan.write_no_core", lambda: bench.limited.append("core"))
    return bench
