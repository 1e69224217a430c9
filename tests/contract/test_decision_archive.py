"""What every ledger does for admins: find, page, mark, forget, prune, and audit."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import (
    AuditEntry,
    Decision,
    DecisionFilter,
    DecisionPage,
    Erased,
    ForgetScope,
    Lane,
    Listed,
    ListMatch,
    Outcome,
    Retention,
    ShadowJudgement,
    UnavailableError,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_REASON
from serve_app.domain.lists import FingerprintType, ListKind
from serve_app.ledger import MemoryLedger
from serve_app.ledger.encoding import pack_fingerprints
from serve_app.ledger.queries import ERASED_AT_ONCE
from serve_app.ledger.spool import Spool
from serve_app.ledger.sql import SqlLedger
from serve_app.ledger.sql_archive import SqlArchive
from serve_app.lists.of_decisions import fingerprints_of
from tests.contract.conftest import Made

if TYPE_CHECKING:
    from tests.contract.conftest import FullLedger

ON_TRIAL = ShadowJudgement(Verdict.FLAG, "größer", 0.125, "trial", "d" * 64)
REFUSED = Unscanned(UnscannedReason.DEADLINE, "no time was left")


def ids(page: DecisionPage) -> list[str]:
    return [each.decision.request_id for each in page.records]


async def of_body(ledger: FullLedger, sha256: str, limit: int = 100, cursor: str | None = None) -> DecisionPage:
    return await ledger.search(DecisionFilter(sha256=sha256), limit, cursor)


def without_examination(decision: Decision) -> Decision:
    """As lists of decisions show it; decisions are compared without their examinations."""
    return dataclasses.replace(decision, examination=None)


async def record_all(ledger: FullLedger, *decisions: Decision) -> None:
    for decision in decisions:
        await ledger.record(decision)


# Finding


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        REFUSED,
        Listed(Verdict.REJECT, "bank", "7", "known"),
        Listed(Verdict.ACCEPT, "bank", "7", "known", ListMatch.PERCEPTUAL, distance_bits=8, frame=3),
    ],
)
@pytest.mark.parametrize("shadow", [(), (Listed(Verdict.REJECT, "trial", "8", "größer", ListMatch.PERCEPTUAL, 30, 2),)])
@pytest.mark.parametrize("lane", Lane)
async def test_a_decision_comes_back_as_it_was(
    ledger: FullLedger, made: Made, outcome: Outcome | None, shadow: tuple[Listed, ...], lane: Lane
) -> None:
    decision = made.decision(
        1,
        outcome,
        kept=False,
        source="my-instance",
        lane=lane,
        lists_version=17,
        shadow_matches=shadow,
        shadow_judgement=ON_TRIAL if lane is Lane.LIVE else None,
    )
    await ledger.record(decision)
    found = await ledger.get("r-1")
    assert found is not None
    assert found.decision == decision
    assert found.decision.labels == decision.labels
    assert (found.done_at, found.done_how, found.is_pending) == (None, None, False)
    assert found.decision.decided_at.utcoffset() == timedelta(0)


async def test_a_decision_comes_with_its_examination_and_a_list_of_decisions_without(
    ledger: FullLedger, made: Made
) -> None:
    decision = made.decision(1)
    await record_all(ledger, decision, made.decision(2, REFUSED))
    for found in (await ledger.get("r-1"), (await ledger.search(DecisionFilter(), with_examinations=True)).records[1]):
        assert found is not None
        assert found.decision.examination is not None
        assert decision.examination is not None
        np.testing.assert_allclose(
            found.decision.examination.scores.values, decision.examination.scores.values, rtol=0, atol=2.0**-11
        )
        assert found.decision.examination.places == decision.examination.places
    refused = await ledger.get("r-2")
    assert refused is not None
    assert refused.decision.examination is None, "its bytes were scanned before, and not for this decision"
    assert refused.fingerprints == ()
    for listed in (*(await ledger.search(DecisionFilter())).records, *(await of_body(ledger, made.picture)).records):
        assert listed.decision.examination is None


async def test_what_was_not_recorded_is_not_found(ledger: FullLedger, made: Made) -> None:
    assert await ledger.get("r-1") is None
    assert await of_body(ledger, made.picture) == DecisionPage(())
    assert await ledger.search(DecisionFilter()) == DecisionPage(())


async def test_recording_twice_changes_nothing(ledger: FullLedger, made: Made) -> None:
    await record_all(ledger, made.decision(1), made.decision(1, REFUSED, source="another"))
    assert [each.decision for each in (await of_body(ledger, made.picture)).records] == [made.decision(1)]


async def test_the_decisions_on_a_body_are_newest_first(ledger: FullLedger, made: Made) -> None:
    await record_all(
        ledger, made.decision(2), made.decision(3, sha256=made.other_picture), made.decision(1), made.decision(4)
    )
    page = await of_body(ledger, made.picture, 2)
    assert (ids(page), page.cursor is not None) == (["r-4", "r-2"], True)
    rest = await of_body(ledger, made.picture, 2, page.cursor)
    assert (ids(rest), rest.cursor) == (["r-1"], None)


async def test_each_filter_finds_what_it_names(ledger: FullLedger, made: Made) -> None:
    await record_all(
        ledger,
        made.decision(0),
        made.decision(1, made.judged(Verdict.REJECT), kept=False),
        made.decision(2, REFUSED, source="other"),
        made.decision(3, Listed(Verdict.REJECT, "bank", "7", "known"), kept=False),
        made.decision(4, REFUSED, kept=False),
        made.decision(5, shadow_judgement=ON_TRIAL),
    )

    async def found(**wanted: Any) -> list[int]:
        return [int(each.removeprefix("r-")) for each in ids(await ledger.search(DecisionFilter(**wanted)))]

    assert await found() == [5, 4, 3, 2, 1, 0]
    assert await found(since=made.noon + timedelta(seconds=1)) == [5, 4, 3, 2, 1], "inclusive"
    assert await found(until=made.noon + timedelta(seconds=1)) == [0], "exclusive"
    assert await found(source="other") == [2]
    assert await found(verdict=Verdict.REJECT) == [3, 1]
    assert await found(reason="policy") == [5, 1, 0]
    assert await found(reason="listed") == [3]
    assert await found(reason="deadline") == [4, 2]
    assert await found(rule="rule-reject") == [1]
    assert await found(is_pending=True) == [2]
    assert await found(is_pending=False) == [5, 4, 3, 1, 0]
    assert await found(shadow_differs=True) == [5]
    assert await found(shadow_differs=False) == [4, 3, 2, 1, 0]
    await ledger.mark_done("r-2", "rescan: unscannable")
    assert await found(done_how="rescan: unscannable") == [2]
    assert await found(done_how="rescan: accepted") == []
    assert await found(verdict=Verdict.REJECT, reason="policy") == [1], "all must match"


async def test_decisions_on_the_canary_are_recorded_apart_and_erased_as_others(ledger: FullLedger, made: Made) -> None:
    canary = Listed(Verdict.REJECT, CANARY_BANK, "0", CANARY_REASON, ListMatch.PERCEPTUAL, 4, 0, "image/png")
    seen = {"kept": False, "examination": made.examination(), "labels": made.labels}
    await record_all(
        ledger,
        made.decision(0),
        made.decision(1, canary, shadow_matches=(dataclasses.replace(canary, bank="trial"),), **seen),
        made.decision(2, dataclasses.replace(canary, bank="canary-2"), kept=False),
        made.decision(3, REFUSED),
        made.decision(4, Listed(Verdict.REJECT, "bank", "7", f'{{"bank":"{CANARY_BANK}",'), kept=False),
    )
    others = ["r-4", "r-3", "r-2", "r-0"]
    for wanted, expected in ((False, others), (True, ["r-1"]), (None, sorted([*others, "r-1"], reverse=True))):
        assert ids(await ledger.search(DecisionFilter(is_canary=wanted))) == expected
    assert ids(await ledger.search(DecisionFilter(verdict=Verdict.REJECT))) == ["r-4", "r-2"]
    assert ids(await ledger.search(DecisionFilter(), with_examinations=True)) == others
    assert ids(await ledger.pending()) == ["r-3"]
    found = await ledger.get("r-1")
    assert found is not None
    assert found.decision.is_canary
    erased = await ledger.prune(made.noon + Retention().rejected + timedelta(seconds=2))
    assert erased.decisions == 2
    assert await ledger.get("r-1") is None


async def test_a_time_of_another_zone_is_the_same_moment(ledger: FullLedger, made: Made) -> None:
    await record_all(ledger, made.decision(0), made.decision(1))
    there = (made.noon + timedelta(seconds=1)).astimezone(timezone(timedelta(hours=-5)))
    assert ids(await ledger.search(DecisionFilter(since=there))) == ["r-1"]


def test_a_time_without_an_offset_is_refused() -> None:
    naive = datetime(2026, 1, 1)
    for make in (lambda: DecisionFilter(since=naive), lambda: ForgetScope(before=naive)):
        with pytest.raises(ValueError, match="offset"):
            make()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 5))
async def test_pages_show_every_decision_once_in_order(
    ledger: FullLedger, made: Made, seconds: list[int], limit: int
) -> None:
    source = f"source-{np.random.default_rng().integers(2**60)}"  # the ledger outlives an example
    for number, second in enumerate(seconds):
        at = made.noon + timedelta(seconds=second)
        decision = made.decision(number, REFUSED, source=source, decided_at=at, request_id=f"{source}-{number:02}")
        await ledger.record(decision)
    newest = [name for _, name in sorted(((s, f"{source}-{n:02}") for n, s in enumerate(seconds)), reverse=True)]

    shown, cursor = list[str](), None
    while True:
        page = await ledger.search(DecisionFilter(source=source), limit, cursor)
        assert len(page.records) <= limit
        shown += ids(page)
        if (cursor := page.cursor) is None:
            break
    assert shown == newest


async def test_a_page_that_cannot_be_is_refused(ledger: FullLedger, made: Made) -> None:
    for cursor in ("", "x", "1", "-r-1", "99999999999999999999999-r-1", "٣-r"):
        with pytest.raises(ValueError, match="cursor"):
            await ledger.search(DecisionFilter(), cursor=cursor)
        with pytest.raises(ValueError, match="cursor"):
            await ledger.pending(after=cursor)
    for limit in (0, -1):
        with pytest.raises(ValueError, match="at least one"):
            await ledger.search(DecisionFilter(), limit)


# Pending


async def test_pending_decisions_wait_until_they_are_done(ledger: FullLedger, made: Made) -> None:
    await record_all(
        ledger,
        made.decision(3, REFUSED),
        made.decision(1, made.judged(is_truncated=True)),
        made.decision(2),
        made.decision(4, REFUSED, kept=False),
        made.decision(5, REFUSED, lane=Lane.BACKGROUND),
        made.decision(6, made.judged(is_truncated=True), lane=Lane.BACKGROUND),
    )
    assert ids(await ledger.pending()) == ["r-1", "r-3"], "oldest first; no image server waits for the background"
    assert await ledger.mark_done("r-1", "rescanned: accept")
    assert ids(await ledger.pending()) == ["r-3"]
    done = await ledger.get("r-1")
    assert done is not None
    assert (done.done_at, done.done_how, done.is_pending) == (made.noon, "rescanned: accept", False)
    assert not await ledger.mark_done("r-1", "again"), "once"
    assert not await ledger.mark_done("r-2", "never was"), "it was scanned"
    assert not await ledger.mark_done("r-9", "who?")


async def test_a_stored_picture_may_have_to_be_scanned_again(ledger: FullLedger, made: Made) -> None:
    await record_all(ledger, made.decision(1), made.decision(2, REFUSED, kept=False), made.decision(3, REFUSED))
    await ledger.mark_done("r-3", "rescan: accepted")
    for request_id in ("r-1", "r-3"):
        for _ in range(2):
            assert await ledger.reopen(request_id, "entry 7 denies it")
    assert not await ledger.reopen("r-2", "it was not stored")
    assert not await ledger.reopen("r-9", "who?")
    assert ids(await ledger.pending()) == ["r-1", "r-3"]
    assert ids(await ledger.search(DecisionFilter(is_pending=True))) == ["r-3", "r-1"]
    for request_id in ("r-1", "r-3"):
        reopened = await ledger.get(request_id)
        assert reopened is not None
        assert (reopened.is_pending, reopened.done_at, reopened.done_how) == (True, None, None)
    trail = await ledger.audit_trail()
    assert [(each.actor, each.action, each.detail) for each in trail] == [
        ("service", "reopen", {"decision": request_id, "why": "entry 7 denies it"}) for request_id in ("r-3", "r-1")
    ], "each once"
    assert await ledger.mark_done("r-1", "rescan: purged")
    done = await ledger.get("r-1")
    assert done is not None
    assert (done.is_pending, done.is_reopened, done.done_how) == (False, False, "rescan: purged")
    assert ids(await ledger.pending()) == ["r-3"]


async def test_pending_decisions_come_in_pages(ledger: FullLedger, made: Made) -> None:
    await record_all(ledger, *(made.decision(number, REFUSED) for number in range(5)))
    first = await ledger.pending(limit=2)
    assert (ids(first), first.cursor is not None) == (["r-0", "r-1"], True)
    await ledger.mark_done("r-1", "gone")
    second = await ledger.pending(limit=2, after=first.cursor)
    third = await ledger.pending(limit=2, after=second.cursor)
    assert (ids(second), ids(third), third.cursor) == (["r-2", "r-3"], ["r-4"], None)


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


# The audit


async def test_the_audit_is_newest_first_and_bounded_by_the_reader(ledger: FullLedger, made: Made) -> None:
    entries = [
        AuditEntry(made.noon + timedelta(seconds=number), "admin-secret", "purge", {"alias": "ä.png", "number": number})
        for number in range(3)
    ]
    for entry in entries:
        await ledger.audit(entry)
    assert await ledger.audit_trail() == entries[::-1]
    assert await ledger.audit_trail(limit=1) == entries[-1:]


async def test_of_twice_as_many_as_a_day_allows_exactly_the_quota_is_added(ledger: FullLedger, made: Made) -> None:
    def entry(number: int, hours: float = 0.0) -> AuditEntry:
        return AuditEntry(made.noon + timedelta(hours=hours, seconds=number), "rescan", "purge", {"number": number})

    await ledger.audit(AuditEntry(made.noon, "admin-secret", "forget", {"decisions": 3}))
    added = await asyncio.gather(*(ledger.audit_within(entry(number), 5, "number") for number in range(10)))
    assert sum(added) == 5
    assert len(await ledger.audit_trail()) == 6
    assert not await ledger.audit_within(entry(20, hours=11.9), 5, "number")
    assert await ledger.audit_within(entry(21, hours=12.1), 5, "number"), "another day has begun"
    assert not await ledger.audit_within(entry(22, hours=12.1), 0, "number")


async def test_a_deed_that_fails_is_tried_again_without_another_unit_of_its_quota(
    ledger: FullLedger, made: Made
) -> None:
    def entry(**detail: str) -> AuditEntry:
        return AuditEntry(made.noon, "rescan", "purge", detail)

    for _ in range(20):
        assert await ledger.audit_within(entry(sha256="1", why="csam"), 3, "sha256")
    assert await ledger.audit_within(entry(sha256="2"), 3, "sha256")
    assert await ledger.audit_within(entry(alias="of an earlier version"), 3, "sha256")
    for another in ({"sha256": "3"}, {"alias": "of an earlier version"}):
        assert not await ledger.audit_within(entry(**another), 3, "sha256")
    assert await ledger.audit_within(entry(sha256="1"), 3, "sha256")
    assert not await ledger.audit_within(entry(sha256="1"), 2, "sha256"), "a smaller quota holds at once"
    assert len(await ledger.audit_trail()) == 23, "each try is in the audit"


async def test_of_the_audit_only_reads_are_erased_after_their_time(ledger: FullLedger, made: Made) -> None:
    def entry(action: str, days: float) -> AuditEntry:
        return AuditEntry(made.noon + timedelta(days=days), "monitor", action)

    entries = [
        entry("GET /api/v1/admin/decisions", -91),
        entry("POST /api/v1/admin/forget", -91),
        entry("forget", -10_000),
        entry("GET /api/v1/admin/decisions", -89),
    ]
    for each in entries:
        await ledger.audit(each)
    await ledger.prune(made.noon)
    assert await ledger.audit_trail() == entries[:0:-1]
