"""``pictwarden storage scan`` on folders: what is scanned, and what is shown."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from tests.unit.cli.conftest import StandIn
from tests.unit.cli.storage_bench import Bench

# Colours are all that the engine without weights knows.
POLICY = """\
policy: fake-red
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}
"""


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
