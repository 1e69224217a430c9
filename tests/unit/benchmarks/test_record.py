"""What a record says, and that it says the same in the terminal, as JSON and on the page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from benchmarks.command import Run
from benchmarks.hardware import matrix_isa
from benchmarks.record import Record, at_least, at_most, table
from benchmarks.report import PAGE, PLAN, RESULTS, block, records, render, shown
from benchmarks.servers import REPOSITORY

RECORD = Record(
    title="Latency & wall",
    command="python -m benchmarks latency --seed 7",
    service="pictwarden serve",
    machine={
        "processor": "A <fast> one",
        "cores": "2",
        "matrix instructions": "AVX2",
        "memory": "25 GB",
        "python": "3.11.9",
        "commit": "abc",
        "others during the run": "0.10 cores",
    },
    seed=7,
    measured_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    tables=(
        table(
            "By size | and load",
            {"load": 0, "p50 ms": 1, "pictures": 0},
            [("20 % | 30 %", 1234.56, 40), ("80 %", None, 0)],
            "From the intended send.",
        ),
    ),
    checks=(at_most("p99 is under the wall", 1234.5, 10_000, "ms"), at_least("goodput", 0.85, 0.9, digits=2)),
)

GOLDEN_BLOCK = """\
*By size | and load*

| load | p50 ms | pictures |
| --- | --- | --- |
| 20 % \\| 30 % | 1,234.6 | 40 |
| 80 % | - | 0 |

From the intended send.

| check | seen | wanted |
| --- | --- | --- |
| p99 is under the wall | 1234 ms | ≤ 10000 ms |
| goodput | **0.85** | ≥ 0.9 |

2 January 2026: `python -m benchmarks latency --seed 7` on `pictwarden serve`. A <fast> one, 2 cores, AVX2, 25 GB, \
Python 3.11.9, commit abc; others used 0.10 cores meanwhile."""


def test_a_record_on_the_page_has_its_date_machine_and_command() -> None:
    assert block(RECORD) == GOLDEN_BLOCK


def test_a_record_is_the_same_after_it_was_written_and_read() -> None:
    assert Record.of_json(RECORD.to_json()) == RECORD
    assert isinstance(Record.of_json(RECORD.to_json()).tables[0].rows[0][2], int)


@pytest.mark.parametrize("text", ["{}", "[]", RECORD.to_json().replace('"seed"', '"sed"')])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Record"):
        Record.of_json(text)


def test_each_record_goes_to_its_place_and_the_prose_stays() -> None:
    page = "# Figures\n<!-- record a -->\nold\n<!-- end -->\nprose\n<!-- record b-2 -->\n<!-- end -->\nend\n"
    drawn = render(page, {"a": RECORD, "unplaced": RECORD})
    assert drawn.startswith(f"# Figures\n<!-- record a -->\n{GOLDEN_BLOCK}\n<!-- end -->\nprose\n<!-- record b-2 -->\n")
    assert 'Not measured yet: `make bench-report ARGS="--measure --only b-2"`.\n<!-- end -->\nend\n' in drawn
    assert render(drawn, {"a": RECORD}) == drawn


def test_the_committed_page_is_what_the_committed_records_draw() -> None:
    page = PAGE.read_text("utf-8")
    assert render(page, records(RESULTS)) == page, "run `make bench-report`"


def test_every_planned_record_has_a_place_and_every_record_a_plan() -> None:
    names = [each.name for each in PLAN]
    page = PAGE.read_text("utf-8")
    assert [name for name in names if f"<!-- record {name} -->" not in page] == []
    assert set(records(RESULTS)) <= set(names)
    assert page.count("<!-- record ") == page.count("<!-- end -->") == len(names)


def test_a_benchmark_that_takes_a_way_to_run_is_planned_in_both() -> None:
    files = (REPOSITORY / "benchmarks").glob("*.py")
    with_a_way = [file.stem for file in files if "    way: Annotated[Way," in file.read_text("utf-8")]
    assert {"sources", "metrics", "footprint"} <= set(with_a_way)
    for name in with_a_way:
        ways = {"--way ray" in each.command for each in PLAN if each.command.split()[0] == name}
        assert ways == {True, False}, name


def test_a_plan_is_told_as_a_person_would_type_it() -> None:
    told = {each.name: shown(each) for each in PLAN}
    assert told["quick-one-process"] == (
        "pictwarden serve --preset demo, then python -m benchmarks quick --out "
        "benchmarks/results/quick-one-process.json"
    )
    assert told["faults"] == "python -m benchmarks faults --out benchmarks/results/faults.json"


def test_a_check_of_what_was_not_measured_does_not_hold() -> None:
    check = at_most("p99", None, 1, "s")
    assert (check.texts()[1], check.holds) == ("**not measured**", False)
    assert not at_least("rate", 0.89, 0.9).holds
    assert at_least("rate", 0.9, 0.9).holds


def test_the_terminal_shows_tables_and_what_is_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missed = at_most("p99 [of all]", 2.0, 1, "s")
    with pytest.raises(typer.Exit) as ended:
        Run("latency", 7, tmp_path / "record.json").finish(RECORD.title, RECORD.tables, [*RECORD.checks, missed])
    told = capsys.readouterr().out
    assert " 20 % | 30 %  1,234.6 " in told
    assert "missed: p99 [of all]\n" in told
    assert ended.value.exit_code == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [("sse avx2 avx512f avx512_bf16 amx_bf16", "AMX bf16"), ("avx2 avx512f", "AVX-512"), ("sse4_2", "no AVX2")],
)
def test_the_fastest_matrix_instructions_are_told(flags: str, told: str) -> None:
    assert matrix_isa(flags) == told
