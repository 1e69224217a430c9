"""The spool: in order, on the disk, within its bounds, and never without a pending decision."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import ConfigurationError
from serve_app.ledger.entries import Entry, Importance
from serve_app.ledger.spool import Spool, abandoned_spools

NAME = "ledger [1].db"


def entry(number: int, importance: Importance = Importance.ACCEPTED, size: int = 10, context: int = 1) -> Entry:
    rows = {
        "contexts": {"context": context, "policy": "größer"},
        "decisions": {"request_id": f"r-{number}", "context": context, "sha256": b"\x00\xff", "message": "m" * size},
    }
    return Entry(rows, importance)


def names(entries: list[Entry]) -> list[str]:
    return [each.request_id for each in entries]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool.create(tmp_path, NAME, max_bytes=100_000, reserved_bytes=10_000)
    yield made
    made.close()


def test_its_lag_begins_with_the_first_entry_and_ends_with_the_last(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("serve_app.ledger.spool.time.monotonic", lambda: now_s)
    assert (spool.lag_s, spool.waiting_bytes) == (0.0, 0)
    for number in range(3):
        spool.append([entry(number)])
        now_s += 10.0
    assert spool.lag_s == 30.0
    assert spool.waiting_bytes > 0
    spool.take(2)
    assert spool.lag_s == 30.0, "since none waited"
    spool.take(1)
    assert (spool.lag_s, spool.waiting_bytes) == (0.0, 0)


def test_entries_come_back_in_order_and_whole(spool: Spool) -> None:
    assert spool.append([entry(1), entry(2, Importance.PENDING)]) == [True, True]
    assert spool.append([entry(3)]) == [True]
    assert len(spool) == 3
    (first, second) = spool.waiting(2)
    assert (first, names([second])) == (entry(1), ["r-2"])
    assert "contexts" not in second.rows, "it stands in the file already"
    spool.take(2)
    assert names(spool.waiting(10)) == ["r-3"]
    spool.take(1)
    assert (len(spool), spool.waiting(10)) == (0, [])
    spool.append([entry(4)])
    assert spool.waiting(10) == [entry(4)], "with its context again"


def test_what_was_taken_leaves_no_trace_in_the_file(spool: Spool) -> None:
    spool.append([entry(number, size=1000) for number in range(30)])
    assert spool.file.stat().st_size > 10_000
    spool.take(30)
    assert spool.file.read_bytes() == bytes(10_000), "its room stays reserved"


def test_it_is_its_users_alone(spool: Spool) -> None:
    assert stat.S_IMODE(spool.file.stat().st_mode) == 0o600


def test_the_spool_of_a_living_process_is_not_taken(spool: Spool, tmp_path: Path) -> None:
    spool.append([entry(1)])
    assert list(abandoned_spools(tmp_path, NAME)) == []


def test_one_that_is_being_made_is_not_taken_for_that_of_a_dead_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    found: list[Spool] = []

    def search_and_lock(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        found.extend(abandoned_spools(tmp_path, NAME))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", search_and_lock)
    with contextlib.closing(Spool.create(tmp_path, NAME, reserved_bytes=10_000)) as made:
        assert found == []
        assert list(tmp_path.iterdir()) == [made.file]


@pytest.mark.parametrize("step", ["fcntl.flock", "pathlib.Path.rename", "os.posix_fallocate", "os.fsync"])
def test_of_one_that_cannot_be_made_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(step, fail)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        Spool.create(tmp_path, NAME, reserved_bytes=10_000)
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_has_left_that_was_killed_while_it_made_one_is_removed_later(tmp_path: Path) -> None:
    left, young = (tmp_path / f".{NAME}.spool-{each}" for each in ("left", "young"))
    left.touch()
    young.touch()
    os.utime(left, (time.time() - 7200,) * 2)
    with contextlib.closing(Spool.create(tmp_path, NAME, reserved_bytes=10_000)) as made:
        assert set(tmp_path.iterdir()) == {young, made.file}


def test_the_spool_of_a_dead_process_is_found_whole(tmp_path: Path) -> None:
    dead = Spool.create(tmp_path, NAME, reserved_bytes=10_000)
    dead.append([entry(1), entry(2)])
    dead.close()
    (found,) = abandoned_spools(tmp_path, NAME)
    assert found.waiting(10)[0] == entry(1)
    assert names(found.waiting(10)) == ["r-1", "r-2"]
    found.take(2)
    found.close()
    assert list(tmp_path.iterdir()) == []


def test_the_spool_of_another_database_is_not_touched(tmp_path: Path) -> None:
    other = Spool.create(tmp_path, "ledger 1.db", reserved_bytes=10_000)
    other.append([entry(1)])
    other.close()
    assert list(abandoned_spools(tmp_path, NAME)) == []


@pytest.mark.parametrize("torn", [1, 20, 100])
def test_a_line_that_was_torn_ends_the_file_and_is_written_over(tmp_path: Path, torn: int) -> None:
    dead = Spool.create(tmp_path, NAME, reserved_bytes=10_000)
    dead.append([entry(1), entry(2)])
    dead.close()
    content = dead.file.read_bytes().rstrip(b"\0")
    dead.file.write_bytes(content[:-torn] + bytes(1000))
    (found,) = abandoned_spools(tmp_path, NAME)
    assert names(found.waiting(10)) == ["r-1"]
    found.take(1)
    found.close()


def test_a_spool_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"spool in .* cannot be made"):
        Spool.create(tmp_path / "file", NAME)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Importance)), st.integers(0, 3000)), max_size=60))
def test_the_least_important_are_lost_first_and_pending_ones_never(given_: list[tuple[Importance, int]]) -> None:
    with TemporaryDirectory() as folder:
        spool = Spool.create(Path(folder), NAME, max_bytes=20_000, reserved_bytes=1000)
        entries = [entry(number, importance, size) for number, (importance, size) in enumerate(given_)]
        added = [spool.append([each])[0] for each in entries]
        kept = [each for each, is_added in zip(entries, added, strict=True) if is_added]
        assert names(spool.waiting(1000)) == names(kept)
        assert all(
            is_added for each, is_added in zip(entries, added, strict=True) if each.importance is Importance.PENDING
        )
        sizes = dict.fromkeys(Importance, 0)
        for each in kept:
            sizes[each.importance] += len(each.line(with_shared=False))
        assert sizes[Importance.ACCEPTED] <= 10_000
        assert sizes[Importance.ACCEPTED] + sizes[Importance.REFUSED] <= 15_000
        # One more accepted decision would not have been worth the room of a refused one.
        if not spool.append([entry(1000, Importance.REFUSED, 10)])[0]:
            assert not spool.append([entry(1001, Importance.ACCEPTED, 10)])[0]
        assert spool.append([entry(1002, Importance.PENDING, 10)]) == [True]
        spool.close()
