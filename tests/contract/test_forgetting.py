"""What every ledger erases: what admins want forgotten, and what has been recorded for its time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import (
    AuditEntry,
    DecisionFilter,
    Erased,
    ForgetScope,
    Listed,
    ListMatch,
    Outcome,
    UnavailableError,
    Verdict,
)
from serve_app.domain.lists import FingerprintType, ListKind
from serve_app.ledger import MemoryLedger, retaining
from serve_app.ledger.encoding import pack_fingerprints
from serve_app.ledger.queries import ERASED_AT_ONCE
from serve_app.ledger.spool import Spool
from serve_app.ledger.sql import SqlLedger
from serve_app.ledger.sql_archive import SqlArchive
from serve_app.lists.of_decisions import fingerprints_of
from tests.contract.archived import REFUSED, ids, record_all
from tests.contract.conftest import FullLedger, Made, patient_ledger

# Forgetting


@pytest.mark.parametrize(
    ("scope", "left", "erased"),
    [
        ({"sha256": "1" * 64}, ["r-3"], Erased(3, 1, 1)),
        ({"source": "other"}, ["r-2", "r-1"], Erased(2, 1, 1)),
        ({"before": 2}, ["r-3", "r-2"], Erased(2, 0, 0)),
        ({"sha256": "3" * 64}, ["r-3", "r-2", "r-1", "r-0"], Erased()),
    ],
)
async def test_forgetting_erases_and_leaves_a_line_before_and_one_after(
    ledger: FullLedger, made: Made, scope: dict[str, Any], left: list[str], erased: Erased
) -> None:
    await record_all(
        ledger,
        made.decision(0, REFUSED, source="other"),
        made.decision(1),
        made.decision(2),
        made.decision(3, sha256=made.other_picture, source="other"),
    )
    if "before" in scope:
        scope = {"before": made.noon + timedelta(seconds=scope["before"])}
    assert await ledger.forget(ForgetScope(**scope), "admin") == erased
    assert ids(await ledger.search(DecisionFilter())) == left
    done, begun = await ledger.audit_trail()
    assert [(each.actor, each.action, each.at) for each in (begun, done)] == [
        ("admin", "forget", made.noon),
        ("admin", "forgotten", made.noon),
    ]
    assert begun.detail.items() < done.detail.items()
    assert done.detail["decisions"] == erased.decisions
    if erased.label_scores:
        forgotten = made.picture if "sha256" in scope else made.other_picture
        assert await ledger.recall(forgotten, made.model.digest) is None, "no trace of it is left"


async def test_much_is_forgotten_whatever_lies_between_and_the_program_hears_how_much(
    ledger: FullLedger, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.ledger.queries.CHOSEN_AT_ONCE", 4)
    monkeypatch.setattr("serve_app.ledger.queries.ERASED_AT_ONCE", 3)
    # In pairs at one time, and not in the order of their ids.
    await record_all(
        ledger,
        *(
            made.decision(number, source=f"source-{number % 3}", decided_at=made.noon + timedelta(seconds=-number // 2))
            for number in range(24)
        ),
    )
    shown: list[Erased] = []
    assert await ledger.forget(ForgetScope(source="source-1"), "admin", shown.append) == Erased(8)
    assert shown == sorted(shown, key=lambda each: each.decisions)
    assert shown[-1] == Erased(8)
    left = await ledger.search(DecisionFilter())
    assert {each.decision.source for each in left.records} == {"source-0", "source-2"}
    assert len(left.records) == 16


async def test_no_file_of_the_database_has_a_fingerprint_that_was_forgotten(
    migrated_file: Path, tmp_path: Path, made: Made
) -> None:
    location = Location(tmp_path, tmp_path / "ledger.db")
    shutil.copy(migrated_file, tmp_path)
    fingerprints = pack_fingerprints(made.examination().fingerprints)

    def files_with_it() -> list[str]:
        return [each.name for each in tmp_path.iterdir() if fingerprints in each.read_bytes()]

    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    with contextlib.closing(SqlLedger(open_database(location), spool, commit_wait_s=30.0)) as ledger:
        await ledger.record(made.decision(1))
        assert files_with_it() == ["ledger.db-wal"]
        await ledger.forget(ForgetScope(sha256=made.picture), "admin")
        assert files_with_it() == []


async def test_admins_are_answered_while_much_is_forgotten(
    location: Location, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.ledger.sql_archive.ERASING_PAUSE_S", 30.0)
    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    with contextlib.closing(SqlLedger(open_database(location), spool, commit_wait_s=30.0)) as ledger:
        await asyncio.gather(*(ledger.record(made.decision(number)) for number in range(2)))
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        scopes = [ForgetScope(sha256=made.picture), ForgetScope(source="x"), ForgetScope(source="y")]

        def note(_: Erased) -> None:
            loop.call_soon_threadsafe(begun.set)

        forgetting = [asyncio.create_task(ledger.forget(scope, "admin", note)) for scope in scopes]
        await begun.wait()
        await ledger.audit(AuditEntry(made.noon, "admin", "purge"))
        assert await ledger.lease("work").hold()
        (purge, begin) = await ledger.audit_trail()
        assert (purge.action, begin.action) == ("purge", "forget"), "before anything is erased"
        assert not any(each.done() for each in forgetting)
    # A program that ends erases no more.
    results = await asyncio.gather(*forgetting, return_exceptions=True)
    assert all(isinstance(each, UnavailableError | asyncio.CancelledError) for each in results)


@pytest.mark.parametrize("scope", [{}, {"sha256": "1" * 64, "source": "x"}])
def test_forgetting_nothing_or_two_things_is_refused(scope: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name one"):
        ForgetScope(**scope)


# Retention


async def test_each_decision_is_erased_after_its_time(ledger: FullLedger, made: Made) -> None:
    bodies = [f"{number:064x}" for number in range(6)]
    await record_all(
        ledger,
        made.decision(0, sha256=bodies[0]),
        made.decision(1, made.judged(Verdict.REJECT), sha256=bodies[1], kept=False),
        made.decision(2, made.judged(Verdict.FLAG), sha256=bodies[2]),
        made.decision(3, REFUSED, sha256=bodies[3]),
        made.decision(4, REFUSED, sha256=bodies[4], kept=False),
        made.decision(5, REFUSED, sha256=bodies[5]),
    )

    async def left_after(days: float) -> list[str]:
        await ledger.prune(made.noon + timedelta(days=days))
        return ids(await ledger.search(DecisionFilter()))

    await ledger.mark_done("r-5", "rescanned: accept")
    assert len(await left_after(29.9)) == 6
    assert await left_after(30.1) == ["r-3", "r-2", "r-1"]
    assert await left_after(179.9) == ["r-3", "r-2", "r-1"]
    assert await left_after(180.1) == ["r-3"]
    assert await left_after(10_000) == ["r-3"], "pending until it is done"
    assert await ledger.audit_trail() == [], "retention is no action of a person"


@pytest.mark.parametrize(
    "outcome",
    [
        Made().judged(Verdict.REJECT),
        Listed(Verdict.REJECT, "bank", "7", "known", ListMatch.PERCEPTUAL, 12, 0, "image/gif", is_truncated=False),
    ],
)
async def test_a_refused_picture_can_be_allowed_for_as_long_as_its_decision_is_recorded(
    ledger: FullLedger, made: Made, outcome: Outcome
) -> None:
    await ledger.record(made.decision(1, outcome, kept=False, examination=made.examination(), labels=made.labels))
    for days in (29, 31, 179):
        await ledger.prune(made.noon + timedelta(days=days))
        found = await ledger.get("r-1")
        (listed,) = (await ledger.search(DecisionFilter(), with_examinations=True)).records
        assert found is not None
        for each in (found, listed):
            assert each.fingerprints == made.examination().fingerprints
            assert each.decision == found.decision
        selection = fingerprints_of(found, ListKind.ALLOW)
        assert [each.type for each in selection.fingerprints] == [FingerprintType.SHA256, FingerprintType.PDQ]
        if days > 30 and not isinstance(ledger, MemoryLedger):
            assert found.decision.examination is None, "its scores have a shorter retention"


async def test_a_ledger_erases_by_itself_what_is_over(
    location: Location, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(patient_ledger(location)) as ledger:
        await ledger.record(made.decision(1))
    monkeypatch.setattr(retaining, "RENEWED_EVERY_S", 0.05)
    with contextlib.closing(patient_ledger(location)) as ledger:
        give_up_s = time.monotonic() + 60.0
        while await ledger.get("r-1") is not None:
            assert time.monotonic() < give_up_s, "waited in vain"
            await asyncio.sleep(0.02)


async def test_the_retention_leaves_the_database_to_others_after_few_rows_and_ends_with_the_program(
    location: Location, made: Made
) -> None:
    count = 2 * ERASED_AT_ONCE + 1
    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    # Its clock stands at noon: it erases nothing by itself.
    ledger = SqlLedger(open_database(location), spool, wall_clock=lambda: made.noon, commit_wait_s=30.0)
    with contextlib.closing(ledger):
        await asyncio.gather(*(ledger.record(made.decision(number)) for number in range(count)))
        over = made.noon + timedelta(days=31)
        closed = SqlArchive(open_database(location))
        closed.close()
        assert closed.prune_in_thread(over).decisions == ERASED_AT_ONCE <= 200
        closed.close()
        assert (await ledger.prune(over)).decisions == count - ERASED_AT_ONCE
