"""Every command of the suite, from its options to its three files, against a stand-in that answers at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import bare_pass, baseline, capacity, latency, overload, quick
from benchmarks.__main__ import commands
from benchmarks.bare_pass import Rate
from benchmarks.bodies import Size

from .conftest import accepting, http

MANUAL = "docs/benchmarks.md"

pytestmark = pytest.mark.usefixtures("cheap_pictures")


def read_report(out: Path, name: str) -> dict[str, Any]:
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".md", ".svg"]
    (path,) = out.glob(f"{name}-*.json")
    report = json.loads(path.read_text("utf-8"))
    assert isinstance(report, dict)
    assert (report["seed"], report["machine"]["cores"].isdigit()) == (1, True)
    assert report["machine"]["others during the run"].endswith("cores, on average")
    return report


def run(bench: Callable[..., None], out: Path, name: str, **options: Any) -> dict[str, Any]:
    """What the command reported. Its exit code says what its report says: the machine may be busy."""
    with pytest.raises(typer.Exit) as ended:
        bench(out=out, **options)
    report = read_report(out, name)
    assert ended.value.exit_code == (0 if report["holds"] else 1)
    return report


def rows(report: dict[str, Any], heading: str) -> list[list[Any]]:
    return next(each["table"]["rows"] for each in report["sections"] if each["heading"].startswith(heading))


def note(report: dict[str, Any], heading: str) -> str:
    return next(str(each["note"]) for each in report["sections"] if each["heading"] == heading)


def claims(report: dict[str, Any]) -> dict[str, bool]:
    return {each["claim"]: each["holds"] for each in report["checks"]}


def test_quick(stand_in, tmp_path: Path) -> None:
    server = stand_in(accepting())
    report = run(quick.bench, tmp_path, "quick", url=server.url, requests=3, duration_s=0.05, rate=200)
    assert [row[0] for row in rows(report, "Latency by load")] == [
        "200 KB, one after another",
        "200 KB, 16 connections",
        "20 KB - 2 MB, 16 connections",
        "20 KB - 2 MB, Poisson 200/s",
    ]
    assert claims(report)["requests that failed"]


def test_latency(stand_in, tmp_path: Path) -> None:
    server = stand_in(accepting())
    options = {"size": [Size.MB_2, Size.MIX], "connections": 1, "capacity_s": 0.2, "duration_s": 0.1}
    report = run(latency.bench, tmp_path, "latency", url=server.url, **options)
    assert [row[0] for row in rows(report, "Capacity")] == ["2MB", "mix"]
    assert [row[0] for row in rows(report, "2MB at")] == ["2MB, 20%, Poisson", "2MB, 50%, Poisson", "2MB, 80%, Poisson"]
    assert rows(report, "mix at")[-1][0] == "mix, 50%, bursty"
    assert claims(report)["answers later than 8.5 s"]


def test_overload_of_a_service_that_refuses(stand_in, tmp_path: Path) -> None:
    accept, asked = accepting(), 0

    def respond(head: bytes, body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        refusal = {"verdict": None, "reason": "overloaded", "request_id": f"n{asked}", "elapsed_ms": 0.1}
        return accept(head, body) if asked % 2 else http(503, json.dumps(refusal).encode())

    server = stand_in(respond)
    options = {"factor": [2.0], "connections": 1, "capacity_s": 0.2, "duration_s": 0.1}
    report = run(overload.bench, tmp_path, "overload", url=server.url, **options)
    (bearing,) = rows(report, "What the service did")
    assert bearing[0] == "2 x capacity"
    assert bearing[2] > 0
    assert claims(report)["2 x capacity: answers later than 8.5 s"]
    assert claims(report)["2 x capacity: failed without a reason"]
    assert claims(report)["2 x capacity: memory grew by"], "the stand-in is this process, which can be seen"


def test_capacity_and_efficiency(stand_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def measure(options: bare_pass.EngineOptions, _: object) -> dict[int, Rate]:
        opened.append(options.source)
        return {1: Rate(10.0, 1.0), 2: Rate(1e9, 0.0)}

    monkeypatch.setattr(bare_pass, "measure", measure)
    server = stand_in(accepting())
    options = {"connections": 1, "saturated_s": 0.2, "step_s": 0.1}
    report = run(capacity.bench, tmp_path, "capacity", url=server.url, **options)
    assert opened == ["fake", "fake"], "what /readyz names, before and after"
    assert rows(report, "Efficiency") == [["1", 10.0, 10.0], ["2", 1e9, 1e9]]
    stages = {row[0]: row[1] for row in rows(report, "Core-ms by stage")}
    assert stages["all of the service"] == stages["around the pass"] > 0, "a pass that costs nothing"
    assert "Bottleneck: " in note(report, "Efficiency")
    assert len(rows(report, "Every step")) == len(capacity.SHARES)
    assert claims(report)["efficiency: pictures/s over HTTP ÷ of the bare pass"] is False


def test_a_baseline_that_answers_in_its_own_words(stand_in, tmp_path: Path) -> None:
    ours, theirs = stand_in(accepting()), stand_in(lambda *_: http(200, b'{"message": "Image OK"}'))
    options = {"url": ours.url, "baseline": theirs.url, "requests": 3, "duration_s": 0.05, "rate": 100}
    report = run(baseline.bench, tmp_path, "baseline", **options)
    (section,) = report["sections"]
    answers = {(row[0], row[1]): row[-1] for row in section["table"]["rows"]}
    assert answers["one after another", "Pictwarden"] == "200 policy 3"
    assert answers["one after another", "baseline"] == "200 3"
    assert {load for load, _ in answers} == {"one after another", "16 connections", "Poisson 100.0/s"}
    assert len(section["plots"]) == 3
    assert ours.bodies[:3] == theirs.bodies[:3], "the same pictures"


def test_a_baseline_elsewhere_is_refused(stand_in, tmp_path: Path) -> None:
    server = stand_in(accepting())
    with pytest.raises(typer.Exit) as ended:
        baseline.bench(baseline="http://192.168.0.7/", url=server.url, out=tmp_path)
    assert ended.value.exit_code == 2
    assert not server.bodies


def test_nothing_is_loaded_that_looks_at_nothing(stand_in, tmp_path: Path) -> None:
    server = stand_in(lambda *_: http(401, b'{"reason": "unauthorised"}'))
    with pytest.raises(typer.Exit) as ended:
        overload.bench(url=server.url, capacity_s=0.05, out=tmp_path)
    assert ended.value.exit_code == 2


def test_every_command_of_the_readme_is_listed() -> None:
    root = Path(__file__).parents[3]
    told = re.findall(r"make bench-([a-z]+)", "".join((root / name).read_text() for name in ("README.md", MANUAL)))
    assert set(told) <= set(commands())
    assert all(commands().values())
