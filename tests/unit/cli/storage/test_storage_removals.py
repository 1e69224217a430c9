"""What ``pictwarden storage scan`` removes, and what it never touches."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pty
import select
from typing import Any

import pytest

from tests.unit.cli.conftest import StandIn
from tests.unit.cli.storage_bench import LIMIT_S, Bench

CACHED = "cache/media_attachments/files/109/000/000/000/000/001"
UPLOADED = "media_attachments/files/109/000/000/000/000/002"


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
