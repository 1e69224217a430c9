"""`pictwarden check --resume`: what has a verdict is not sent again, and everything else is."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli.check.journal import Journal
from serve_app.cli.main import app

if TYPE_CHECKING:
    from tests.unit.cli.conftest import StandIn


@pytest.fixture
def pictures(folder: Path) -> Path:
    made = folder / "pictures"
    made.mkdir()
    for name, says in {"a.png": "accept", "b.png": "reject", "c.png": "broken", "d.png": "flag"}.items():
        (made / name).write_text(says, "ascii")
    return made


def resumed(service: StandIn, *arguments: object) -> Result:
    service.bodies.clear()
    return CliRunner().invoke(app, ["check", "--url", service.url, "--resume", "scans.jsonl", *map(str, arguments)])


def test_what_has_a_verdict_is_not_sent_again_and_counts(service: StandIn, pictures: Path) -> None:
    first = resumed(service, pictures)
    assert (first.exit_code, len(service.bodies)) == (2, 4)
    (pictures / "c.png").write_text("accept", "ascii")
    second = resumed(service, pictures)
    assert service.bodies == [b"accept"]
    assert second.exit_code == 1, "one was rejected, in the run before"
    assert "skipped 3 pictures that have a verdict in scans.jsonl: 2 kept, 1 rejected" in second.stderr
    third = resumed(service, pictures)
    assert (service.bodies, third.exit_code) == ([], 1)


def test_a_picture_that_is_unscanned_is_sent_again(service: StandIn, pictures: Path) -> None:
    resumed(service, pictures)
    resumed(service, pictures)
    assert service.bodies == [b"broken"]


@pytest.mark.parametrize("changed", ["bytes", "time"])
def test_a_picture_that_has_changed_is_sent_again_and_its_latest_verdict_holds(
    service: StandIn, pictures: Path, changed: str
) -> None:
    (pictures / "c.png").unlink()
    assert resumed(service, pictures).exit_code == 1
    rejected = pictures / "b.png"
    before = rejected.stat()
    rejected.write_text("accept" if changed == "time" else "accept and longer", "ascii")
    os.utime(rejected, ns=(before.st_atime_ns, before.st_mtime_ns + (changed == "time")))
    assert resumed(service, pictures).exit_code == 0
    assert len(service.bodies) == 1
    assert resumed(service, pictures).exit_code == 0
    assert service.bodies == []


def test_a_file_that_was_cut_in_the_middle_of_a_line_is_continued(service: StandIn, pictures: Path) -> None:
    resumed(service, "--at-once", 1, pictures)
    journal = Path("scans.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    resumed(service, pictures)
    assert sorted(service.bodies) == [b"broken", b"flag"]
    lines = journal.read_text("ascii").splitlines()
    assert [json.loads(line)["verdict"] for line in lines[:3] + lines[4:]][:2] == ["accept", "reject"]
    resumed(service, pictures)
    assert service.bodies == [b"broken"]


def test_lines_that_are_none_of_ours_are_passed_over(service: StandIn, pictures: Path) -> None:
    Path("scans.jsonl").write_bytes(b'[]\n"text"\n{"picture": 3, "verdict": "accept"}\n\xff\xfe\n\n{}\n')
    assert resumed(service, pictures).exit_code == 2
    assert len(service.bodies) == 4


def test_json_goes_to_both(service: StandIn, pictures: Path) -> None:
    result = resumed(service, "--json", pictures)
    assert sorted(result.stdout.splitlines()) == sorted(Path("scans.jsonl").read_text("ascii").splitlines())


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_sent(service: StandIn, pictures: Path) -> None:
    Path("scans.jsonl").mkdir()
    result = resumed(service, pictures)
    assert (result.exit_code, service.bodies) == (2, [])
    assert result.stderr.splitlines() == ["scans.jsonl: Is a directory"]


def test_a_device_is_no_file_to_continue(service: StandIn, pictures: Path) -> None:
    Path("scans.jsonl").symlink_to("/dev/zero")
    result = resumed(service, pictures)
    assert (result.exit_code, service.bodies) == (2, [])
    assert result.stderr.splitlines() == ["scans.jsonl: not a regular file"]


def test_a_full_disk_ends_the_run_with_a_line(
    service: StandIn, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Journal, "add", full)
    result = resumed(service, pictures)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == ["scans.jsonl: No space left on device"]
