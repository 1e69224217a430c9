"""What is written for the front that works pending pictures off, and what is made of its loads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.outcomes import Load, Outcome
from benchmarks.remote_parts.pending import Measured, checks_of, pending_table
from benchmarks.remote_parts.pending_pictures import WorkedOff, pending_decision, record, scanned_and_left
from serve_app.database.location import Location
from serve_app.ledger import open_archive


def uploads(after_s: float, *others: tuple[float, str | None], window_s: float = 10.0) -> Load:
    """A hundred answered after so long, and others after their own seconds with their own verdict."""
    answered: Sequence[tuple[float, str | None]] = [(after_s, "accept")] * 100 + list(others)
    outcomes = [
        Outcome(number / 20, number / 20, number / 20 + each_s, 200, verdict, "policy" if verdict else "overloaded")
        for number, (each_s, verdict) in enumerate(answered)
    ]
    return Load(outcomes, window_s=window_s, elapsed_s=window_s)


def missed(measured: Measured) -> dict[str, float | None]:
    return {each.claim: each.seen for each in checks_of(measured) if not each.holds}


def test_uploads_may_wait_a_little_longer_while_pending_is_worked_off() -> None:
    measured = Measured(uploads(0.5), uploads(0.1), uploads(0.12), WorkedOff(50, 950))
    assert measured.times_p99 == pytest.approx(1.2)
    assert measured.worked_off_per_s == pytest.approx(5.0)
    assert not missed(measured)
    name, rate_per_s = pending_table(measured).rows[-1]
    assert (name, rate_per_s) == ("pending, worked off beside them", measured.worked_off_per_s)


def test_uploads_that_wait_much_longer_are_late_or_are_let_through_unscanned_are_a_failure() -> None:
    beside = uploads(0.15, (9.0, "accept"), (0.1, None))
    measured = Measured(uploads(0.5), uploads(0.1), beside, WorkedOff(50, 950))
    assert missed(measured) == {
        "pending is worked off: p99 of uploads ÷ p99 without": pytest.approx(1.5),
        "pending is worked off: uploads that were refused, or not scanned": 1,
        "pending is worked off: uploads that were late": 1,
    }


def test_nothing_is_measured_where_nothing_is_worked_off_or_nothing_is_left_to() -> None:
    assert missed(Measured(uploads(0.5), uploads(0.1), uploads(0.1), WorkedOff(0, 1000))).keys() == {
        "pending pictures that were worked off beside uploads"
    }
    assert missed(Measured(uploads(0.5), uploads(0.1), uploads(0.1), WorkedOff(1000, 0))).keys() == {
        "pending pictures that were left then"
    }


def test_pending_decisions_are_in_the_ledger_and_count_once_they_are_scanned(tmp_path: Path) -> None:
    location = Location(tmp_path, tmp_path / "ledger.db")
    record(location, [pending_decision(number, f"{number:064x}", 5_000) for number in range(5)])
    assert scanned_and_left(location) == WorkedOff(0, 5)
    with contextlib.closing(open_archive(location)) as archive:
        for number, how in ((0, "rescan: accepted"), (1, "rescan: gone")):
            asyncio.run(archive.mark_done(f"pending-{number}", how))
    assert scanned_and_left(location) == WorkedOff(1, 3), "a picture that is gone was not scanned"
