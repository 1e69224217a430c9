"""What a report says, and that it says the same as Markdown, as JSON and as a drawing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.outcomes import Latencies
from benchmarks.report import (
    Column,
    Plot,
    Report,
    Section,
    Table,
    at_least,
    at_most,
    draw,
    finish,
    to_json,
    to_markdown,
)

LATENCIES = Latencies(0.002 * n for n in range(1, 1001))
PLOTS = (
    Plot.of_latencies("Latency <by share>", {"20 %": LATENCIES, "80 %": LATENCIES}),
    Plot("Throughput", "offered/s", "answered/s", {"seen": [(10, 10), (20, 19.5), (40, 20)]}, {}, {}),
    Plot.timeline("Goodput", "pictures/s", {"ours": [(0, 20), (1, 0)]}, {"capacity": 10}, {"scorer killed & gone": 1}),
)
REPORT = Report(
    title="Latency & wall",
    command="python -m benchmarks latency --seed 7",
    machine={"processor": "A <fast> one", "cores": "2"},
    seed=7,
    started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    sections=(
        Section(
            "By size | and load",
            "From the intended send.",
            Table((Column("load"), Column("p50 ms", 1), Column("pictures")), (("20 %", 12.345, 40), ("80 %", None, 0))),
            PLOTS,
        ),
    ),
    checks=(at_most("p99 is under the wall", 1234.5, 10_000, "ms"), at_least("goodput", 0.95, 0.9, digits=2)),
)

GOLDEN_MARKDOWN = """\
# Latency & wall

`python -m benchmarks latency --seed 7`, 2026-01-02 03:04 UTC, seed 7

* processor: A <fast> one
* cores: 2

| check | seen | wanted | holds |
| --- | --- | --- | --- |
| p99 is under the wall | 1234 ms | ≤ 10000 ms | yes |
| goodput | 0.95 | ≥ 0.9 | yes |

## By size | and load

From the intended send.

| load | p50 ms | pictures |
| --- | --- | --- |
| 20 % | 12.3 | 40 |
| 80 % | - | 0 |

![plots](latency.svg)
"""


def test_markdown() -> None:
    assert to_markdown(REPORT, "latency.svg") == GOLDEN_MARKDOWN


def test_json_has_numbers_as_numbers_and_the_plots() -> None:
    read = json.loads(to_json(REPORT))
    assert read["sections"][0]["table"]["rows"] == [["20 %", 12.345, 40], ["80 %", None, 0]]
    assert read["sections"][0]["plots"][1]["series"]["seen"] == [[10, 10], [20, 19.5], [40, 20]]
    assert (read["seed"], read["machine"]["cores"], read["holds"]) == (7, "2", True)
    assert read["started_at"] == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("points", [[], [(0.0, 0.0)], [(0.5, 0.5)], [(0.001, 0.99999), (1e6, 1e-6)]])
@pytest.mark.parametrize("is_log", [False, True])
def test_plots_of_few_or_extreme_values_are_drawn(tmp_path: Path, points: list[tuple[float, float]], is_log) -> None:
    drawing = tmp_path / "plots.svg"
    draw([Plot("t", "x", "y", {"line": points}, {"level": 0.5}, {}, is_log, is_log)], drawing)
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")


def test_a_check_of_what_was_not_measured_does_not_hold() -> None:
    check = at_most("p99", None, 1, "s")
    assert (check.seen, check.holds) == ("not measured", False)
    assert not at_least("rate", 0.89, 0.9).holds


def test_a_failed_check_is_exit_code_one_and_the_files_are_named(tmp_path: Path) -> None:
    terminal = StringIO()
    failed = replace(REPORT, checks=(at_most("p99 [of all]", 2.0, 1, "s"),))
    assert finish(failed, "latency", tmp_path / "new", Console(file=terminal, width=100)) == 1
    assert finish(REPORT, "latency", tmp_path / "new", Console(file=terminal, width=100)) == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"latency-20260102-030405.{kind}" for kind in ("json", "md", "svg")]
    assert "p99 [of all]" in terminal.getvalue()
    assert "latency-20260102-030405.svg" in terminal.getvalue()
