"""What every ledger does for admins: find, page, and mark what is pending."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.domain import (
    DecisionFilter,
    DecisionPage,
    ForgetScope,
    Lane,
    Listed,
    ListMatch,
    Outcome,
    Retention,
    Verdict,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_REASON
from tests.contract.archived import ON_TRIAL, REFUSED, ids, of_body, record_all
from tests.contract.conftest import FullLedger, Made

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
        worker="anna/desktop" if lane is Lane.LIVE else None,
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
        made.decision(5, shadow_judgement=ON_TRIAL, worker="anna/desktop"),
    )

    async def found(**wanted: Any) -> list[int]:
        filter_ = DecisionFilter(**wanted)
        numbers = [int(each.removeprefix("r-")) for each in ids(await ledger.search(filter_))]
        assert await ledger.count(filter_) == len(numbers)
        return numbers

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
    assert await found(worker="anna/desktop") == [5]
    assert await found(worker="anna") == []
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
