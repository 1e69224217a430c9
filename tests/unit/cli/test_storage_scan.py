"""``pictwarden storage scan``, ``report`` and ``forget`` on folders, with a stand-in for the service and alone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import StorageUnavailableError
from serve_app.ledger import open_ledger
from serve_app.purges import Purge, purges_since
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.local import LocalSource

from .conftest import ANSWERS

if TYPE_CHECKING:
    from tests.unit.cli.conftest import StandIn

LIMIT_S = 60

# Colours are all that the engine without weights knows.
POLICY = """\
policy: fake-red
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}
"""

COMMAND = "from serve_app.cli.main import app; app()"

LOOKING_OFTEN = f"import serve_app.cli.storage_order as scanning; scanning.LOOK_EVERY_S = 0.1; {COMMAND}"

CACHED = "cache/media_attachments/files/109/000/000/000/000/001"
UPLOADED = "media_attachments/files/109/000/000/000/000/002"


@dataclass
class Bench:
    """A folder of "pictures" whose first word is what the service says of them, and an empty ledger."""

    folder: Path
    environment: dict[str, str]
    limited: list[str] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def location(self) -> Location:
        return Location(self.folder, self.folder / "ledger.db")

    def write(self, name: str, says: str) -> Path:
        file = self.store / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(says, "ascii")
        return file

    def left(self) -> list[str]:
        return sorted(str(each.relative_to(self.store)) for each in self.store.rglob("*") if each.is_file())

    def config(self, **settings: Any) -> str:
        args = {"ledger": str(self.location.file), **settings}
        document = {"applications": [{"import_path": "deployments.graph:build_app", "args": args}]}
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(document), "utf-8")
        return str(file)

    def storage(self, command: str, *options: str, **settings: Any) -> Result:
        arguments = ["storage", command, "--config", self.config(**settings), *options]
        return CliRunner().invoke(app, arguments, env=self.environment)

    def scan(self, *options: str, exit_code: int = 0, **settings: Any) -> Result:
        done = self.storage("scan", str(self.store), *options, **settings)
        assert done.exit_code == exit_code, done.output
        return done

    def started(self, *options: str, quota: int = 100, program: str = COMMAND, **streams: Any) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        config = self.config(pictrs={"max_purges_per_day": quota})
        command = [sys.executable, "-c", program, "storage", "scan", "--config", config, *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | streams
        return subprocess.Popen([*command, str(self.store)], env=os.environ | self.environment, **streams)

    async def purges(self) -> list[Purge]:
        with contextlib.closing(open_ledger(self.location)) as ledger:
            return await purges_since(ledger, datetime(2020, 1, 1, tzinfo=UTC))


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
    monkeypatch.setattr("serve_app.cli.storage_scan.write_no_core", lambda: bench.limited.append("core"))
    return bench


def test_what_was_rejected_is_shown_and_stays(bench: Bench, service: StandIn) -> None:
    for place, says in enumerate(["accept", "reject", "flag", "broken", "canary"]):
        bench.write(f"{place}.png", says)
    done = bench.scan(exit_code=1)
    assert sorted(done.stdout.splitlines()) == [
        "5 files: 1 accepted, 1 flagged, 2 rejected, 1 unscannable",
        "flagged      2.png: odd",
        f"rejected     1.png: {'It is red.'}",
        next(line for line in done.stdout.splitlines() if line.startswith("rejected     4.png: ")),
    ]
    assert "--on-reject purge" in done.stderr
    assert len(bench.left()) == 5
    assert service.lanes == {"background"}


def test_the_next_run_scans_what_is_new_or_has_changed(bench: Bench, service: StandIn) -> None:
    bench.write("a.png", "accept")
    bench.write("b.png", "reject")
    bench.scan(exit_code=1)
    done = bench.scan(exit_code=1)
    assert done.stdout == "0 files; 2 were done before (1 rejected)\n"
    bench.write("b.png", "accept instead")
    bench.write("c.png", "accept too")
    done = bench.scan()
    assert done.stdout == "2 files: 2 accepted; 1 were done before\n"
    assert len(service.bodies) == 4
    assert bench.scan("--all").stdout == "3 files: 3 accepted\n"


@pytest.mark.parametrize(
    ("options", "scanned"),
    [
        (["--prefix", "b/"], ["b/2", "b/3"]),
        (["--limit", "1", "--newest-first"], ["b/3"]),
        (["--minutes", "30"], ["a/1", "b/3"]),
        (["--since", "30m"], ["a/1", "b/3"]),
        (["--threads", "1"], ["a/1", "b/2", "b/3"]),
    ],
)
def test_only_what_is_wanted_is_scanned(bench: Bench, service: StandIn, options: list[str], scanned: list[str]) -> None:
    now_s = datetime.now(UTC).timestamp()
    for name, age_s in {"a/1": 600, "b/2": 7_200, "b/3": 60}.items():
        os.utime(bench.write(name, f"accept {name}"), (now_s - age_s,) * 2)
    bench.scan(*options)
    assert sorted(body.split()[1].decode() for body in service.bodies) == scanned


@pytest.mark.parametrize("dry_run", ["--dry-run", "--dry_run"])
def test_a_dry_run_touches_nothing(bench: Bench, dry_run: str) -> None:
    bench.write("a.png", "reject")
    bench.scan("--on-reject", "purge", dry_run, exit_code=1)
    assert bench.left() == ["a.png"]
    assert asyncio.run(bench.purges()) == []


def test_no_picture_that_is_read_ahead_can_end_in_a_core(bench: Bench) -> None:
    bench.write("a.png", "accept")
    bench.scan()
    assert bench.limited == ["core"]


def test_a_purge_removes_what_was_rejected_alone_and_is_recorded(bench: Bench) -> None:
    bench.write("a.png", "accept")
    bench.write("b.png", "broken")
    rejected = bench.write("c.png", "reject").read_bytes()
    bench.scan(exit_code=1)
    assert bench.scan("--on-reject", "purge").stdout.endswith("1 file: 1 purged; 2 were done before\n")
    assert bench.left() == ["a.png", "b.png"]
    (purge,) = asyncio.run(bench.purges())
    assert (purge.sha256, purge.purged) == (hashlib.sha256(rejected).hexdigest(), ("c.png",))
    assert (purge.store, purge.why) == (f"file:{bench.store}", "storage scan: no-red")


def test_a_quarantine_is_asked_for_twice(bench: Bench) -> None:
    bench.write("in/a.png", "reject")
    bench.scan("--on-reject", "quarantine", exit_code=2)
    assert (bench.left(), asyncio.run(bench.purges())) == (["in/a.png"], [])
    bench.scan("--quarantine", "held", exit_code=1)
    assert bench.left() == ["in/a.png"]
    bench.scan("--on-reject", "quarantine", "--quarantine", "../held", exit_code=2)
    assert "1 quarantined" in bench.scan("--on-reject", "quarantine", "--quarantine", "held").stdout
    assert bench.left() == ["held/in/a.png"]
    for options in (["--on-reject", "quarantine"], []):
        assert bench.scan(*options, "--quarantine", "held").stdout == ""


def test_beyond_the_quota_the_run_ends_and_says_the_way_out(bench: Bench) -> None:
    for number in range(6):
        bench.write(f"{number}.png", f"reject {number}")
    done = bench.scan("--on-reject", "purge", exit_code=1, pictrs={"max_purges_per_day": 2})
    assert len(bench.left()) == 4
    assert "2 purged" in done.stdout
    assert "today's quota of 2 purges is used up" in done.stderr
    assert "--on-reject report" in done.stderr
    assert "6 files: 6 purged" not in done.stdout
    bench.scan("--on-reject", "purge", pictrs={"max_purges_per_day": 6})
    assert bench.left() == []


def test_the_storage_of_mastodon_loses_its_cache_alone(bench: Bench) -> None:
    bench.write(f"{CACHED}/original/a.png", "reject cached")
    bench.write(f"{CACHED}/small/a.png", "accept small")
    bench.write(f"{UPLOADED}/original/b.png", "reject uploaded")
    bench.write(f"{UPLOADED}/small/b.png", "reject small")
    done = bench.scan("--software", "mastodon", "--on-reject", "purge", exit_code=1)
    assert bench.left() == [f"{UPLOADED}/original/b.png", f"{UPLOADED}/small/b.png"]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("rejected"))
    assert "tootctl media lookup" in line
    assert "2 files: 1 rejected, 1 purged" in done.stdout


@pytest.mark.parametrize("how", [["purge"], ["quarantine", "--quarantine", "held"]])
def test_originals_of_a_software_that_was_not_named_are_never_removed(bench: Bench, how: list[str]) -> None:
    bench.write(f"{UPLOADED}/original/b.png", "reject uploaded")
    done = bench.scan("--on-reject", *how, exit_code=2)
    assert "looks like the storage of Mastodon" in done.stderr
    assert "add --software mastodon, or, if it is not, --software none" in done.stderr
    assert bench.left() == [f"{UPLOADED}/original/b.png"]
    bench.scan(exit_code=1)
    bench.scan("--on-reject", *how, "--dry-run", exit_code=1)
    bench.scan("--on-reject", *how, "--software", "none")
    assert f"{UPLOADED}/original/b.png" not in bench.left()


def test_json_is_all_there_is_on_the_standard_output(bench: Bench) -> None:
    bench.write("a.png", "accept")
    bench.write("b.png", "reject")
    done = bench.scan("--json", exit_code=1)
    lines = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda line: str(line["file"]))
    assert [(line["file"], line["outcome"]) for line in lines] == [("a.png", "accepted"), ("b.png", "rejected")]
    assert "2 files: 1 accepted, 1 rejected" in done.stderr


def test_hostile_names_never_reach_the_terminal_as_they_are(bench: Bench) -> None:
    name = b"\xff\x1b[31m\r\n\xe2\x80\xaeevil:smile:.png"
    (bench.store / os.fsdecode(name)).write_bytes(b"reject")
    done = bench.scan(exit_code=1)
    report = bench.storage("report")
    for shown in (done.output, report.output):
        assert "evil:smile:.png" in shown
        assert all(line.isprintable() for line in shown.split("\n"))


def test_what_cannot_be_read_is_no_failure_if_it_is_to_be_skipped(bench: Bench) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    bench.write("a.png", "accept").chmod(0)
    assert "unreadable   a.png" in bench.scan(exit_code=2).stdout
    bench.scan("--skip-unreadable")
    bench.scan("--skip_unreadable")


@pytest.mark.parametrize(
    ("options", "settings", "said"),
    [
        (["s4://bucket"], {}, "names no store"),
        (["/does/not/exist"], {}, "/does/not/exist cannot be opened"),
        (["/"], {"ledger": "memory"}, "name a database"),
        (["/", "--on-reject", "quarantine"], {}, "name one below it with --quarantine"),
        (["/", "--on-reject", "lemmy"], {}, "Lemmy knows the pictures of pict-rs alone"),
        (["/", "--since", "1h", "--minutes", "1"], {}, "name one of --since and --minutes"),
        (["/", "--watch", "--all"], {}, "name one of --watch and --all"),
        (["/", "--watch", "--limit", "9"], {}, "name one of --watch and --limit"),
        (["/", "--threads", "0"], {}, "--threads"),
        (["/"], {"ledgre": "x"}, "ledgre"),
    ],
)
def test_what_is_wrong_is_said(bench: Bench, options: list[str], settings: dict[str, Any], said: str) -> None:
    done = bench.storage("scan", *options, **settings)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_service_the_ways_out_are_said(bench: Bench) -> None:
    bench.environment["PICTWARDEN_URL"] = ""
    assert "--local" in bench.scan(exit_code=2).stderr


def test_a_wrong_secret_ends_it(bench: Bench, service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, b"wrong", (401, {"verdict": None, "reason": "unauthorised", "message": "no"}))
    bench.write("a.png", "wrong")
    done = bench.scan(exit_code=2)
    assert "the secret is wrong" in done.stderr
    assert "secret-of-the-tests" not in done.output


def test_a_service_that_is_busy_for_all_ends_it_and_what_was_done_stays_done(
    bench: Bench, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.storage.scan.run.TRIES", 1)
    bench.write("a.png", "accept")
    bench.scan()
    for number in range(40):
        bench.write(f"b/{number:02}.png", f"accept {number}")
    service.says = b"busy"
    done = bench.scan(exit_code=2)
    assert "files in a row could not be scanned" in done.stderr
    assert "run the same command to continue" in done.stderr
    assert len(service.bodies) < 40
    service.says = None
    assert bench.scan().stdout == "40 files: 40 accepted; 1 were done before\n"
    service.says = b"busy"
    assert "with --all the same command begins with the first file" in bench.scan("--all", exit_code=2).stderr


def test_a_store_that_goes_away_ends_it_and_the_way_on_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("a.png", "accept")
    bench.scan()
    files = LocalSource.files

    async def files_and_no_more(source: LocalSource, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        async for part in files(source, wanted):
            yield part
        raise StorageUnavailableError("no answer")

    monkeypatch.setattr(LocalSource, "files", files_and_no_more)
    assert bench.scan(exit_code=2).stderr == "no answer\nrun the same command to continue\n"


def test_a_ledger_that_fails_meanwhile_is_said_in_a_line_and_nothing_is_removed(bench: Bench) -> None:
    bench.write("a.png", "reject")
    with contextlib.closing(sqlite3.connect(bench.location.file or "")) as database:
        database.execute("DROP TABLE audit")
    done = bench.scan("--on-reject", "purge", exit_code=2)
    assert "the ledger cannot be written: no such table: audit" in done.stderr
    assert bench.left() == ["a.png"]


def test_a_service_that_is_gone_ends_it(bench: Bench) -> None:
    bench.write("a.png", "accept")
    done = bench.scan("--url", "http://127.0.0.1:9/api/v1/scan/a-secret", exit_code=2)
    assert "no answer from Pictwarden: is it running?" in done.stderr
    assert "a-secret" not in done.output


@pytest.mark.parametrize("named", ["file:{}/", "file://{}", "{}/", "./store", "file:store", "file:link", "{}/../store"])
def test_a_report_finds_a_store_however_a_scan_may_name_it(
    named: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.folder)
    bench.write("a.png", "accept")
    (bench.folder / "link").symlink_to(bench.store)
    source = named.format(bench.store)
    assert bench.storage("scan", source).exit_code == 0
    assert "| accepted | 1 |" in bench.storage("report", source).stdout
    assert "1 files" in bench.storage("forget", source).stdout


def test_a_report_lists_what_was_found_and_is_erased_when_it_is_to_be_forgotten(bench: Bench) -> None:
    assert "no store has been scanned yet" in bench.storage("report").stderr
    bench.write("a.png", "accept")
    bench.write("b|c.png", "reject")
    bench.scan(exit_code=1)
    report = bench.storage("report")
    assert report.exit_code == 0
    assert "| accepted | 1 |" in report.stdout
    assert r"| b\|c.png | It is red. |" in report.stdout
    (line,) = bench.storage("report", "--json", f"file:{bench.store}").stdout.splitlines()
    assert json.loads(line)["file"] == "b|c.png"
    unknown = bench.storage("forget", "/elsewhere")
    assert unknown.exit_code == 2
    assert f"file:{bench.store}" in unknown.stderr
    assert bench.storage("forget", str(bench.store)).stdout == "Erased what was known of 2 files.\n"
    assert bench.scan(exit_code=1).stdout.endswith("2 files: 1 accepted, 1 rejected\n")


def test_a_report_makes_no_ledger(bench: Bench) -> None:
    done = bench.storage("report", ledger=str(bench.folder / "typo.db"))
    assert (done.exit_code, (bench.folder / "typo.db").exists()) == (2, False)
    assert "there is no ledger at" in done.stderr


def test_ctrl_c_finishes_what_has_begun_and_the_next_run_does_the_rest(bench: Bench, service: StandIn) -> None:
    for number in range(30):
        bench.write(f"{number:02}.png", f"accept {number}")
    service.may_answer.clear()
    with bench.started("--threads", "1") as process:
        try:
            assert service.is_asked.wait(LIMIT_S)
            process.send_signal(signal.SIGINT)
            service.may_answer.set()
            output, errors = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "interrupted: run the same command to continue" in errors
    assert "accepted" in output
    begun = len(service.bodies)
    assert begun < 30
    assert bench.scan().stdout == f"{30 - begun} files: {30 - begun} accepted; {begun} were done before\n"
    assert len(set(service.bodies)) == len(service.bodies) == 30


@pytest.mark.parametrize("ending", ["second Ctrl-C", "SIGKILL"])
def test_an_end_at_once_loses_nothing_that_was_done_a_while_ago(bench: Bench, service: StandIn, ending: str) -> None:
    for number in range(3):
        bench.write(f"{number}.png", f"accept {number}")
    bench.scan()
    bench.write("3.png", "accept 3")
    service.is_asked.clear()
    service.may_answer.clear()
    try:
        with bench.started() as process:
            try:
                assert service.is_asked.wait(LIMIT_S)
                if ending == "SIGKILL":
                    process.kill()
                else:
                    while process.poll() is None:
                        process.send_signal(signal.SIGINT)
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(0.2)
                process.communicate(timeout=LIMIT_S)
            finally:
                process.kill()
    finally:
        service.may_answer.set()
    # A shell shows 130 for both: signals go on until it has ended, and one may come after Python's own handler.
    assert process.returncode in ({-signal.SIGKILL} if ending == "SIGKILL" else {130, -signal.SIGINT})
    assert bench.scan().stdout == "1 file: 1 accepted; 3 were done before\n"


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_at_a_terminal_it_asks_whether_to_scan_on_without_a_quota(
    bench: Bench, service: StandIn, options: list[str]
) -> None:
    bench.write("a.png", "accept")
    bench.scan()
    for number in range(40):
        bench.write(f"{number:02}.png", f"reject {number:02}")
    terminal, theirs = pty.openpty()
    try:
        streams: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        with bench.started("--on-reject", "purge", *options, quota=1, **streams) as process:
            try:
                shown = read_until(terminal, b"remove nothing?")
                os.write(terminal, b"y\n")
                shown += read_until(terminal, b"41 files: " if options else b"40 files: ")
                assert process.wait(LIMIT_S) == 1
            finally:
                process.kill()
    finally:
        os.close(theirs)
        os.close(terminal)
    assert b"Today's quota of 1 purges is used up" in shown
    assert len(bench.left()) == 40
    assert len(service.bodies) == (42 if options else 41), "no file is scanned twice"


def read_until(terminal: int, said: bytes) -> bytes:
    shown = b""
    while said not in shown:
        assert select.select([terminal], [], [], LIMIT_S / 2)[0], shown
        shown += os.read(terminal, 65_536)
    return shown


def test_a_watch_sees_a_file_that_comes_and_ends_without_an_error(bench: Bench) -> None:
    bench.write("a.png", "reject first")
    with bench.started("--watch", program=LOOKING_OFTEN, stderr=subprocess.DEVNULL, bufsize=1) as process:
        watchdog = threading.Timer(2 * LIMIT_S, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("rejected     a.png")
            bench.write("b.png", "reject second")
            assert process.stdout.readline().startswith("rejected     b.png")
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == "2 files: 2 rejected\n"
            assert process.wait(LIMIT_S) == 0
        finally:
            watchdog.cancel()
            process.kill()


def test_alone_it_scans_with_a_model_of_its_own(bench: Bench) -> None:
    policy = bench.folder / "policy.yaml"
    policy.write_text(POLICY, "utf-8")
    for name, colour in {"red.png": "#ff0000", "green.png": "#00ff00"}.items():
        Image.new("RGB", (16, 16), colour).save(bench.store / name)
    bench.environment["PICTWARDEN_URL"] = ""
    settings: dict[str, Any] = {
        "model": {"source": "fake"},
        "policy": str(policy),
        "decode_workers": 1,
        "deadline_s": 9.0,
    }
    done = bench.scan("--local", "--on-reject", "purge", **settings)
    assert done.stdout.splitlines()[-1] == "2 files: 1 accepted, 1 purged"
    assert bench.left() == ["green.png"]
