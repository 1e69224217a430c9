"""Every command of the suite, from its options to its record, against a stand-in that answers at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import bare_pass, capacity, latency, overload, quick
from benchmarks.__main__ import commands
from benchmarks.bare_pass import Rate
from benchmarks.bodies import Size
from benchmarks.record import Record

from .conftest import accepting, http

MANUAL = "docs/benchmarks.md"

pytestmark = pytest.mark.usefixtures("cheap_pictures", "two_arrivals")


def run(bench: Callable[..., None], out: Path, **options: Any) -> Record:
    """What the command recorded. Its exit code says what its record says: the machine may be busy."""
    with pytest.raises(typer.Exit) as ended:
        bench(out=out / "new" / "record.json", **options)
    record = Record.of_json((out / "new" / "record.json").read_text("utf-8"))
    assert (record.seed, record.machine["cores"].isdigit()) == (1, True)
    assert record.machine["others during the run"].endswith(" cores")
    assert ended.value.exit_code == (0 if record.holds else 1)
    return record


def rows(record: Record, heading: str) -> tuple[tuple[Any, ...], ...]:
    return next(table.rows for table in record.tables if table.heading.startswith(heading))


def claims(record: Record) -> dict[str, bool]:
    return {each.claim: each.holds for each in record.checks}


def test_quick(stand_in, tmp_path: Path) -> None:
    server = stand_in(accepting())
    record = run(quick.bench, tmp_path, url=server.url, requests=3, duration_s=1.0)
    *others, spread = [row[0] for row in rows(record, "Latency by load")]
    assert others == ["200 KB, one after another", "200 KB, 16 connections", "20 KB - 2 MB, 16 connections"]
    assert spread.startswith("20 KB - 2 MB, Poisson ")
    assert claims(record)["requests that failed"]


def test_latency(stand_in, tmp_path: Path) -> None:
    server = stand_in(accepting())
    options = {"size": [Size.MB_2, Size.MIX], "connections": 1, "capacity_s": 1.0, "duration_s": 0.1}
    record = run(latency.bench, tmp_path, url=server.url, **options)
    assert [row[0] for row in rows(record, "2MB at")] == [f"2MB, {share:.0%}" for share in latency.SHARES]
    assert rows(record, "mix at")[-1][0] == "mix, 110%"
    assert claims(record)["answers later than 8.5 s"]


def test_overload_of_a_service_that_refuses(stand_in, tmp_path: Path) -> None:
    accept, asked = accepting(), 0

    def respond(head: bytes, body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        refusal = {"verdict": None, "reason": "overloaded", "request_id": f"n{asked}", "elapsed_ms": 0.1}
        return accept(head, body) if asked % 2 else http(503, json.dumps(refusal).encode())

    server = stand_in(respond)
    options = {"factor": [2.0], "connections": 1, "capacity_s": 1.0, "duration_s": 0.1}
    record = run(overload.bench, tmp_path, url=server.url, **options)
    (bearing,) = rows(record, "The service")
    assert bearing[0] == "2 x capacity"
    assert bearing[2] > 0
    assert claims(record)["2 x capacity: answers later than 8.5 s"]
    assert claims(record)["2 x capacity: failed without a reason"]
    assert claims(record)["2 x capacity: memory grew by"], "the stand-in is this process, which can be seen"


def test_capacity_and_efficiency(stand_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def measure(wanted: bare_pass.BarePass) -> tuple[dict[int, Rate], int]:
        opened.append(wanted.source)
        return {1: Rate(10.0, 1.0), 2: Rate(1e9, 0.0)}, 0

    monkeypatch.setattr(bare_pass, "measure", measure)
    server = stand_in(accepting())
    options = {"connections": 1, "saturated_s": 1.0, "around_ms": 0.0}
    record = run(capacity.bench, tmp_path, url=server.url, **options)
    assert opened == ["fake", "fake"], "what /readyz names, before and after"
    told = dict(rows(record, "fake, 200KB"))
    assert (told["pictures/s of the bare pass"], told["at a batch of"]) == (1e9, 2)
    assert told["efficiency: over HTTP ÷ bare pass"] == pytest.approx(told["pictures/s over HTTP"] / 1e9)
    stages = dict(rows(record, "Core-ms by stage"))
    assert stages["all of the service"] == stages["around the pass"] > 0, "a pass that costs nothing"
    assert claims(record)["efficiency: pictures/s over HTTP ÷ of the bare pass"] is False
    assert claims(record)["around the pass, a picture"] is False


def test_nothing_is_loaded_that_looks_at_nothing(stand_in, tmp_path: Path) -> None:
    server = stand_in(lambda *_: http(401, b'{"reason": "unauthorised"}'))
    with pytest.raises(typer.Exit) as ended:
        overload.bench(url=server.url, capacity_s=0.05, out=tmp_path / "x")
    assert ended.value.exit_code == 2


def test_every_command_of_the_readme_is_listed() -> None:
    root = Path(__file__).parents[3]
    told = re.findall(r"make bench-([a-z_]+)", "".join((root / name).read_text() for name in ("README.md", MANUAL)))
    assert set(told) <= set(commands())
    assert all(commands().values())
