"""Servers that benchmarks start: what is measured of one, what of one that is not there, and what a form holds."""

from __future__ import annotations

import io
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from benchmarks import bare_pass, footprint, peers, report
from benchmarks import servers as servers_of_ours
from benchmarks.bare_pass import Rate
from benchmarks.bodies import photo_like_image
from benchmarks.decision_parts.services import configuration
from benchmarks.record import Record
from benchmarks.report import Planned
from benchmarks.servers import Home, Server, Way, ours, running
from deployments.ray_environment import free_ports

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
        self.send_header("Content-Length", "41")
        self.end_headers()
        self.wfile.write(b'{"verdict": "accept", "reason": "policy"}')
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
    monkeypatch.setattr(servers_of_ours, "_POLL_S", 0.01)
    monkeypatch.setattr(peers, "_WARM_UP_S", 0.05)
    monkeypatch.setattr(peers, "_REQUESTS", 10)
    monkeypatch.setattr(bare_pass, "measure", lambda *_: ({1: Rate(100.0, 15.0)}, 0))


def test_each_server_that_is_there_has_a_row_and_the_others_a_reason(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as ended:
        peers.bench(Path(sys.executable), duration_s=0.2, out=tmp_path / "peers.json")
    record = Record.of_json((tmp_path / "peers.json").read_text("utf-8"))
    (table,) = record.tables
    there, bare = table.rows
    assert there[:2] == ("there", pytest.__version__)
    # Its core-ms may be under one tick of the clock.
    assert all(isinstance(figure, float | int) and figure > 0 for figure in (*there[2:4], *there[5:]))
    assert bare[3:5] == (100.0, 15.0)
    assert "fails: it did not start: no model" in table.note
    assert "missing is not installed" in table.note
    assert ended.value.exit_code == (0 if record.holds else 1)


@pytest.mark.parametrize("times", [0.9, 1.1])
def test_what_is_wanted_beside_the_fastest_peer_is_checked_where_both_were_measured(times: float) -> None:
    mosec = peers.Figures(100.0, 10.0, 50.0, 2500, 5.0)
    one = peers.Figures(75.0 / times, 16.0 * times, 40.0, 1500, 5.0)
    converted = peers.Figures(60.0 / times, 10.0, 40.0, int(800 / times), 5.0)
    ours = {"Pictwarden in one process": one, "Pictwarden in one process, without torch": converted}
    assert set(ours) < set(peers._WANTED)
    assert peers.checks_of(ours) == []
    checks = peers.checks_of({"mosec": mosec, **ours})
    assert [check.holds for check in checks] == [times > 1] * 4


def test_without_any_server_the_reasons_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        peers.bench(Path(sys.executable), only=["missing"], out=tmp_path / "peers.json")
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


@pytest.fixture
def stand_in_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(servers_of_ours.STARTS, Way.ONE_PROCESS, (str(tmp_path / "started.py"),))
    # Its port is the last argument, behind those of the service.
    (tmp_path / "started.py").write_text(PROGRAM.replace("sys.argv[2]", "sys.argv[-1]"), "ascii")


@pytest.mark.usefixtures("stand_in_of_ours")
@pytest.mark.parametrize(("memory_mb", "holds"), [(10_000, True), (1, False)])
def test_the_footprint_is_memory_after_the_pictures_and_the_time_until_ready(
    tmp_path: Path, memory_mb: float, holds: bool
) -> None:
    with pytest.raises(typer.Exit) as ended:
        footprint.bench(pictures=5, memory_mb=memory_mb, ready_s=60, out=tmp_path / "footprint.json")
    record = Record.of_json((tmp_path / "footprint.json").read_text("utf-8"))
    (row,) = record.tables[0].rows
    assert row[0] == "one-process"
    assert row[2:4] == (1, 5)
    # Five pictures are so few that the generator's share depends on the machine.
    (of_memory,) = (check for check in record.checks if check.claim == "memory of all processes")
    assert of_memory.holds is holds
    assert ended.value.exit_code == (0 if record.holds else 1)


@pytest.mark.usefixtures("stand_in_of_ours")
def test_a_server_with_a_home_is_the_same_one_when_it_is_started_again(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    home = Home(port, "a-secret-of-the-tests", tmp_path)
    urls = set()
    for _ in range(2):
        with running(ours(Way.ONE_PROCESS), home=home) as started:
            urls.add(started.url)
            assert started.process.cwd() == str(tmp_path)
    assert urls == {f"http://127.0.0.1:{port}/api/v1/scan/a-secret-of-the-tests"}
    assert tmp_path.is_dir()


@pytest.mark.usefixtures("stand_in_of_ours")
def test_a_planned_record_is_measured_on_the_service_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    planned = Planned("flood-x", "flood --senders 1 --body-mb 0.1", 0.1, (Way.ONE_PROCESS, "--model fake"))
    report.measured(planned)  # whether it missed nothing is the record's, and the machine's
    record = Record.of_json((tmp_path / "flood-x.json").read_text("utf-8"))
    assert record.command == "python -m benchmarks flood --senders 1 --body-mb 0.1"
    assert record.service == "python started.py --model fake"


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_planned_record_is_measured_if_its_checks_hold(monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, exit_code))
    assert report.measured(Planned("preprocessing", "preprocessing", 1)) is (exit_code == 0)


def test_a_planned_record_of_a_service_that_does_not_start_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(servers_of_ours.STARTS, Way.ONE_PROCESS, ("-c", "raise SystemExit('no model')"))
    assert not report.measured(Planned("quick-x", "quick", 0.1, (Way.ONE_PROCESS, "")))


def test_services_with_settings_of_a_benchmark_have_replicas_that_fit_on_two_cores() -> None:
    (application,) = configuration({"ledger": "memory"})["applications"]
    assert application["args"] == {"preset": "demo", "ledger": "memory"}
    replicas = application["deployments"]
    assert {each["name"] for each in replicas} == {"Ingress", "Preprocessor", "ClipScorer"}
    assert sum(each["num_replicas"] * each["ray_actor_options"]["num_cpus"] for each in replicas) < 2
