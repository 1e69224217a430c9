"""What the benchmark of lists and ledger finds in a ledger, calls lost, and records."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from benchmarks import decisions
from benchmarks.bodies import photo_like_image
from benchmarks.decision_parts import pdq_hashes
from benchmarks.decision_parts.commits import sample_decision
from benchmarks.decision_parts.kills import SERVICE, loss_checks
from benchmarks.decision_parts.part import KNOWN_PICTURES, Options, Part, known_bodies
from benchmarks.decision_parts.services import recorded_ids
from benchmarks.decisions import PARTS
from benchmarks.outcomes import NO_ANSWER, Load, Outcome
from benchmarks.record import Record, at_most, table
from benchmarks.recovery import Struck
from serve_app.database.location import Location
from serve_app.domain import Decision
from serve_app.domain.limits import MediaLimits
from serve_app.ledger import open_ledger
from serve_app.ledger.entries import Entry
from serve_app.ledger.spool import Spool


def decision(request_id: str) -> Decision:
    return replace(sample_decision(), request_id=request_id, sha256="1" * 64)


async def record(location: Location, request_id: str) -> None:
    with contextlib.closing(open_ledger(location)) as ledger:
        await ledger.record(decision(request_id))


def test_a_decision_is_recorded_in_the_database_or_in_the_spool_of_a_process_that_ended(tmp_path: Path) -> None:
    location = Location(tmp_path, tmp_path / "ledger.db")
    asyncio.run(record(location, "committed"))
    with contextlib.closing(Spool.create(tmp_path, location.name, reserved_bytes=100_000)) as spool:
        spool.append([Entry.of(decision("spooled"), MediaLimits().media_key)])
        assert recorded_ids(location) == {"committed"}, "its process lives, and will bring it into the database"
    assert recorded_ids(location) == {"committed", "spooled"}


def struck(fault: str) -> Struck:
    answered = [Outcome(each, each, each + 0.1, 200, "accept", "policy", f"{each}") for each in map(float, range(20))]
    failed = Outcome(5.5, 5.5, 5.6, NO_ANSWER)
    return Struck(Load([*answered, failed], fault, window_s=20.0, elapsed_s=20.0), 5.0, 3.0)


def test_one_lost_decision_is_one_too_many() -> None:
    assert all(check.holds for check in loss_checks(struck(SERVICE), lost=0))
    assert [check.holds for check in loss_checks(struck(SERVICE), lost=1)] == [False, True, True]


def test_only_the_one_process_may_fail_while_it_is_started_again() -> None:
    assert not all(check.holds for check in loss_checks(struck("something else is killed"), lost=0))


def test_known_bodies_come_again_and_again() -> None:
    make_body = known_bodies(2_000, seed=1)
    first, second = ([make_body() for _ in range(KNOWN_PICTURES)] for _ in range(2))
    assert first == second
    assert len(set(first)) == KNOWN_PICTURES


def test_the_distance_of_a_pdq_is_measured_on_the_pictures_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdq_hashes, "_ROUNDS", 2)
    (tmp_path / "a.JPG").write_bytes(photo_like_image(600, "JPEG", 1))
    (tmp_path / "broken.jpeg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "no picture.txt").write_text("", "ascii")
    tables, checks = pdq_hashes.measure(Options(1, [tmp_path], tmp_path))
    ((_, compared, *_),) = tables[1].rows
    assert compared == 1
    assert checks[1].holds


@pytest.mark.parametrize(("limit", "code"), [(2, 0), (0, 1)])
def test_the_chosen_parts_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float, code: int
) -> None:
    def measure(options: Options) -> Part:
        assert options.folder.is_dir()
        return [table("found", {"what": 0}, [("it",)])], [at_most("it", 1, limit)]

    def fail(_: Options) -> Part:
        raise AssertionError

    monkeypatch.setattr(decisions, "PARTS", {**dict.fromkeys(PARTS, fail), "known": measure})
    with pytest.raises(typer.Exit) as ended:
        decisions.bench(only=["known"], out=tmp_path / "decisions.json")
    assert ended.value.exit_code == code
    record = Record.of_json((tmp_path / "decisions.json").read_text("utf-8"))
    assert [each.heading for each in record.tables] == ["found"]
