"""``pictwarden storage report`` and ``forget``."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.storage_bench import Bench


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
