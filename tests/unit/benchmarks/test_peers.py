"""`bench-peers`: what is measured of a server that is started, what of one that is not there, and what a form holds."""

from __future__ import annotations

import io
import json
import sys
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from benchmarks import bare_pass, peers
from benchmarks.bare_pass import Rate
from benchmarks.bodies import photo_like_image
from benchmarks.peers import Server

# Answers every picture at once.
PROGRAM = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, "ascii")
    there = Server("there", "pytest", (str(tmp_path / "program.py"),), "/scan")
    fails = Server("fails", "pytest", ("-c", "raise SystemExit('no model')"), "/scan")
    missing = Server("missing", "no-such-package-of-ours", ("-c", ""), "/scan")
    monkeypatch.setattr(peers, "SERVED", (there, fails, missing))
    monkeypatch.setattr(peers, "_POLL_S", 0.01)
    monkeypatch.setattr(peers, "_WARM_UP_S", 0.05)
    monkeypatch.setattr(bare_pass, "measure", lambda *_: {1: Rate(100.0, 15.0)})


def test_each_server_that_is_there_has_a_row_and_the_others_a_reason(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as ended:
        peers.bench(Path(sys.executable), requests=10, connections=2, duration_s=0.2, out=tmp_path / "out")
    (path,) = (tmp_path / "out").glob("peers-*.json")
    report = json.loads(path.read_text("utf-8"))
    (section,) = report["sections"]
    there, bare = section["table"]["rows"]
    assert there[:2] == ["there", pytest.__version__]
    assert all(figure > 0 for figure in (*there[2:4], *there[5:]))  # its core-ms may be under one tick of the clock
    assert bare[3:5] == [100.0, 15.0]
    assert "fails: it did not start: no model" in section["note"]
    assert "missing is not installed" in section["note"]
    assert ended.value.exit_code == (0 if report["holds"] else 1)


def test_without_any_server_the_reasons_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        peers.bench(Path(sys.executable), only=["missing"], out=tmp_path / "out")
    assert ended.value.exit_code == 2
    assert "missing is not installed" in capsys.readouterr().out


def test_a_form_holds_the_picture() -> None:
    server = Server("x", "x", (), "/", form_field="file")
    body = server.body(photo_like_image(64, "JPEG", 1))
    message = message_from_bytes(f"Content-Type: {server.content_type}\r\n\r\n".encode() + body)
    parts: Any = message.get_payload()
    (part,) = parts
    assert part.get_param("name", header="content-disposition") == "file"
    with Image.open(io.BytesIO(part.get_payload(decode=True))) as picture:
        assert picture.size == (64, 48)
    assert Server("x", "x", (), "/").body(b"\xff\xd8rest") != Server("x", "x", (), "/").body(b"\xff\xd8rest")
