"""``python -m serve_app.cli.health``: what a container's health check asks, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from serve_app.cli.health import main
from serve_app.cli.local_service import store_url
from serve_app.host.state_folder import STATE_ENV
from serve_app.wire import READY_PATH, SCAN_PATH


class Service(HTTPServer):
    """Answers each request with ``status``."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"an answer")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_ENV, str(tmp_path))
    return tmp_path


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        store_url(f"http://127.0.0.1:{server.server_port}{SCAN_PATH}/a-secret-of-the-tests")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_service_that_can_scan_is_healthy(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert service.asked == [READY_PATH]
    assert capsys.readouterr().out == "an answer\n"


def test_one_that_cannot_is_not(service: Service) -> None:
    service.status = 503
    assert main() == 1


@pytest.mark.parametrize("stored", [None, "http://127.0.0.1:1/api", "nonsense", "http://127.0.0.1:none/"])
def test_nor_is_one_that_does_not_answer(stored: str | None, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if stored is not None:
        (state / "url").write_text(stored, "ascii")
    assert main() == 1
    said = capsys.readouterr().out
    assert said.startswith("the service ")
    assert not stored or stored not in said, "the URL has the secret"


def test_it_imports_the_standard_library_alone() -> None:
    """It runs every ten seconds on a small server, where pydantic and numpy would take a third of a second each."""
    program = (
        "import sys; known = set(sys.modules); import serve_app.cli.health;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - known} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["serve_app"]
