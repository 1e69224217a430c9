"""The arithmetic of the benchmarks of storage scans, on runs that are made up, and what they draw and read."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.bare_pass import Rate
from benchmarks.outcomes import Load, Outcome
from benchmarks.processes import DECODE_WORKERS, HTTP
from benchmarks.storage import Kept, checks_of, draw, rate_per_s, resuming_s, small_png
from benchmarks.storage_other import scan_as_the_other
from benchmarks.storage_process import SCAN, Done, Sample, StorageRun, core_ms_by_stage
from benchmarks.storage_uploads import Measured, Rated, fill, scan_table
from benchmarks.storage_uploads import checks_of as upload_checks_of


def run(began_s: float, names: Iterable[int], per_s: float, first_after_s: float, memory: int = 100) -> StorageRun:
    """Files of these numbers in a row, with a sample at each."""
    done = [
        Done(str(name), began_s + first_after_s + place / per_s, "accepted", None) for place, name in enumerate(names)
    ]
    return StorageRun(began_s, done, [Sample(place, memory, {}) for place in range(1, len(done))])


FIRST, SECOND = run(0.0, range(51), 100.0, 4.0), run(10.0, range(49, 100), 50.0, 5.0)


def test_a_rate_is_of_both_runs_without_their_starts_and_counts_no_file_twice() -> None:
    assert rate_per_s(FIRST, SECOND) == pytest.approx(100 / 1.5)


def test_resuming_ends_with_a_file_that_nobody_had_done() -> None:
    assert resuming_s(FIRST, SECOND) == pytest.approx(5.04 - 4.0)
    assert resuming_s(FIRST, run(10.0, range(51), 50.0, 5.0)) is None


def test_files_are_those_between_two_moments() -> None:
    assert FIRST.between_s(4.0, 4.1) == 10


def test_a_run_that_is_fast_flat_and_complete_holds() -> None:
    first, second = run(0.0, range(50), 1000.0, 4.0), run(9.0, range(50, 100), 800.0, 5.0)
    assert all(each.holds for each in checks_of(100, first, second, Kept(100, 0, 0)))


def test_each_failure_has_a_check_of_its_own() -> None:
    grown = run(9.0, range(50, 100), 800.0, 15.0, memory=116)
    slow = run(0.0, range(50), 100.0, 4.0)
    assert not any(each.holds for each in checks_of(100, slow, grown, Kept(99, 1, 1)))


def test_core_ms_are_of_the_files_between_the_first_sample_and_the_last() -> None:
    samples = [Sample(10, 1, {HTTP: 1.0}), Sample(20, 1, {HTTP: 1.5}), Sample(110, 1, {HTTP: 2.0, DECODE_WORKERS: 0.3})]
    assert core_ms_by_stage(samples) == pytest.approx({SCAN: 10.0, DECODE_WORKERS: 3.0})
    assert core_ms_by_stage(samples[:1]) == {}


def test_small_pictures_have_a_kilobyte_and_differ() -> None:
    source = np.random.default_rng(1)
    first, second = small_png(source), small_png(source)
    assert first != second
    for each in (first, second):
        assert 1_000 <= len(each) <= 1_024
        assert Image.open(io.BytesIO(each)).format == "PNG"


def test_the_loop_of_the_other_tool_sees_every_file_and_goes_on(tmp_path: Path) -> None:
    draw(tmp_path / "pictures", 3, seed=1)
    first = scan_as_the_other(tmp_path / "pictures", tmp_path / "seen.db", 2, most=9)
    again = scan_as_the_other(tmp_path / "pictures", tmp_path / "seen.db", 2, most=2)
    assert (first.files, again.files) == (3, 2)


def uploads(latency_s: float, status: int = 200) -> Load:
    outcome = Outcome(0.0, 0.0, latency_s, status, "accept" if status == 200 else None)
    return Load([outcome], "uploads", window_s=1.0, elapsed_s=1.0)


def measured(alone_s: float, beside: Load, scan: Rated) -> Measured:
    saturated = Load([Outcome(0.0, 0.0, 0.5, 200, "accept")] * 9, window_s=1.0, elapsed_s=1.0)
    bare = {1: Rate(8.0), 2: Rate(12.5)}
    return Measured(saturated, [uploads(alone_s)], [beside], scan, [bare, bare])


def test_uploads_may_wait_a_little_longer_beside_a_scan() -> None:
    within = measured(1.0, uploads(1.25), Rated(4.0, 9.5, is_left=True))
    assert within.times_p99 == pytest.approx(1.25)
    assert all(each.holds for each in upload_checks_of(within))


def test_uploads_that_wait_are_late_or_refused_are_failures() -> None:
    late = upload_checks_of(measured(1.0, uploads(9.0, status=503), Rated(4.0, 5.0, is_left=False)))
    assert [each.holds for each in late[:5]] == [False] * 5


def test_the_scan_is_told_as_a_share_of_the_bare_pass() -> None:
    rows = {row[0]: row[1:] for row in scan_table(measured(1.0, uploads(1.0), Rated(4.0, 10.0, is_left=True))).rows}
    assert rows["the scan alone"] == (10.0, 0.8)
    assert rows["uploads at capacity"] == (10.0, 0.8)


def test_no_picture_of_the_folder_has_the_bytes_of_another(tmp_path: Path) -> None:
    bodies = iter([b"a", b"b", b"c"])
    fill(tmp_path, 3, lambda: next(bodies))
    assert {each.read_bytes() for each in tmp_path.rglob("*.jpg")} == {b"a", b"b", b"c"}
