"""The admin API on pictures that pict-rs has stored: found, listed, banned and purged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from serve_app.domain import (
    Unscanned,
    UnscannedReason,
)
from serve_app.pictrs import API_KEY_ENV
from tests.unit.http.list_admin import LET_THROUGH, NOON, PICTURE, SHA256, Admin, decision, running_admin


@pytest.fixture
async def admin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Admin]:
    async with running_admin(monkeypatch) as service:
        yield service


async def test_a_stored_picture_is_found_by_alias_url_and_bytes(admin: Admin) -> None:
    alias = admin.pictrs.store(PICTURE)
    expected = {"sha256": SHA256, "body_bytes": len(PICTURE), "aliases": [alias]}
    for reference in (alias, f"https://elsewhere.example/pictrs/image/{alias}"):
        assert await admin.ask("/pictures", params={"reference": reference}) == expected
    assert await admin.ask(f"/pictures/{SHA256}", params={"body_bytes": len(PICTURE)}) == expected
    await admin.ask(f"/pictures/{SHA256}", 404, params={"body_bytes": 5})
    await admin.ask("/pictures", 404, params={"reference": "nothing.png"})
    await admin.ask("/pictures", 422, params={"reference": "https://elsewhere.example/cat.png"})


async def test_a_pending_decision_on_the_first_part_of_a_picture_is_found(admin: Admin) -> None:
    body = PICTURE * 3
    alias = admin.pictrs.store(body)
    for number, part in enumerate([PICTURE, PICTURE, PICTURE[:5], body, b"other bytes"]):
        let_through = decision(f"r-{number}", LET_THROUGH, kept=True, body=part)
        await admin.ledger.record(replace(let_through, decided_at=NOON + timedelta(seconds=number)))
    for expected in ("r-2", "r-1", "r-0"):
        assert (await admin.ask("/pictures/decision", params={"reference": alias}))["id"] == expected
        await admin.ledger.mark_done(expected, "rescan: accepted")
    await admin.ask("/pictures/decision", 404, params={"reference": alias})
    await admin.ask("/pictures/decision", 404, params={"reference": "nothing.png"})
    ranges = [each.headers["Range"] for each in admin.pictrs.requests if "Range" in each.headers]
    assert ranges == [f"bytes=0-{len(PICTURE) - 1}"] * 3 + ["bytes=0-10"], "no more than needed"


async def test_a_ban_is_shown_first_and_then_denies_and_purges(admin: Admin) -> None:
    alias, other = admin.pictrs.store(PICTURE), admin.pictrs.store(b"another picture")
    await admin.ledger.record(decision("r-1", LET_THROUGH, kept=True))
    told = await admin.post("/pictures/ban", reference=alias, reason="spam")
    assert (told["types"], told["entries"], told["purged"]) == (["sha256", "pdq"], [], [])
    assert told["picture"]["aliases"] == [alias]
    assert (len(admin.pictrs.stored), admin.kinds()) == (2, [])

    told = await admin.post("/pictures/ban", reference=alias, reason="spam", purge=True)
    assert (told["purged"], told["over_quota"]) == ([alias], False)
    assert admin.kinds() == [("deny", "banned", "sha256"), ("deny", "banned", "pdq")]
    assert [each.aliases for each in admin.pictrs.stored] == [[other]]
    assert ("alice", "purge") in [(each.actor, each.action) for each in await admin.ledger.audit_trail()]
    assert (await admin.ask("/decisions/r-1"))["done_how"] == "ban: purged"
    (purge,) = (await admin.ask("/purges"))["purges"]
    assert (purge["actor"], purge["why"], purge["sha256"]) == ("alice", "ban: spam", SHA256)
    assert (purge["aliases"], purge["purged"], purge["problem"]) == ([alias], [alias], None)
    assert purge["begun_at"] <= purge["ended_at"]
    assert (await admin.ask("/purges", params={"since": "2999-01-01T00:00:00Z"}))["purges"] == []


async def test_over_the_quota_a_picture_is_denied_and_stays(admin: Admin) -> None:
    first, second = admin.pictrs.store(PICTURE), admin.pictrs.store(b"another picture")
    await admin.post("/pictures/ban", reference=first, reason="spam", purge=True)
    told = await admin.post("/pictures/ban", reference=second, reason="spam", purge=True)
    assert (told["over_quota"], told["purged"], len(told["entries"])) == (True, [], 2)
    assert [each.aliases for each in admin.pictrs.stored] == [[second]]


async def test_what_cannot_be_scanned_now_is_not_banned_by_its_bytes_alone(admin: Admin) -> None:
    alias = admin.pictrs.store(PICTURE)
    admin.outcome = LET_THROUGH
    told = await admin.post("/pictures/ban", 503, reference=alias, reason="spam", purge=True)
    assert "cannot be scanned now (overloaded)" in told["message"]
    admin.outcome = Unscanned(UnscannedReason.UNDECODABLE, "not a picture")
    told = await admin.post("/pictures/ban", reference=alias, reason="spam", purge=True)
    assert (told["types"], told["purged"]) == (["sha256"], [alias])


async def test_a_stored_picture_is_put_on_a_list_and_stays(admin: Admin) -> None:
    alias = admin.pictrs.store(PICTURE)
    told = await admin.post("/pictures/list", reference=alias, kind="allow", reason="a red tent")
    assert [(each["kind"], each["type"]) for each in told["entries"]] == [("allow", "sha256"), ("allow", "pdq")]
    assert len(admin.pictrs.stored) == 1


async def test_a_pict_rs_that_does_not_work_is_named_with_the_way_out(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_ENV, "another-key")
    told = await admin.ask("/pictures", 409, params={"reference": "a.png"})
    assert "refuses the key" in told["message"]
    monkeypatch.delenv(API_KEY_ENV)
    assert API_KEY_ENV in (await admin.ask("/pictures", 409, params={"reference": "a.png"}))["message"]
