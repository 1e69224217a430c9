"""What the admin API tells of decisions, and how they are forgotten."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from serve_app.admin_api import DecisionRecord
from serve_app.domain import (
    Erased,
    Examination,
    ForgetScope,
    FrameFingerprint,
    LabelScores,
    ShadowJudgement,
    Verdict,
    ViewPlace,
)
from serve_app.domain.canary import CANARY_BANK
from serve_app.ledger import MemoryLedger
from tests.unit.http.admin_client import NOON, Admin, client_of, decision
from tests.unit.outcomes import LET_THROUGH, LISTED, REJECTED


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    ledger = MemoryLedger()
    async with client_of(ledger) as http:
        yield Admin(ledger, http)


# Decisions


async def test_a_decision_is_told_whole(admin: Admin) -> None:
    await admin.record([decision(1)])
    told = await admin.ask("/decisions/r-1")
    DecisionRecord.model_validate(told)
    assert told == {
        "id": "r-1",
        "decided_at": "2026-01-31T12:00:01Z",
        "sha256": "1" * 64,
        "body_bytes": 1234,
        "verdict": "reject",
        "reason": "policy",
        "rule": "triangles",
        "message": "red triangles are refused",
        "kept": False,
        "pending": False,
        "done_at": None,
        "done_how": None,
        "source": "unnamed",
        "lane": "live",
        "model": "demo",
        "model_digest": "a" * 64,
        "policy": "colours",
        "notice": None,
        "policy_digest": "c" * 64,
        "lists_version": 4,
        "elapsed_ms": 12.5,
        "worker": None,
        "media_type": "image/gif",
        "scores": {"triangle": 0.31},
        "margin": 0.04,
        "view": {"frame": 3, "left": 0.0, "top": 0.25, "right": 0.5, "bottom": 1.0},
        "views_seen": 2,
        "frames_seen": 2,
        "frames_total": 90,
        "truncated": None,
        "listed": None,
        "shadow": None,
        "shadow_matches": [],
    }


async def test_where_the_policy_on_trial_differs_is_told_and_found(admin: Admin) -> None:
    shadow = ShadowJudgement(Verdict.ACCEPT, None, -0.25, "on-trial", "d" * 64)
    await admin.record([decision(1), replace(decision(2), shadow_judgement=shadow)])
    for differs, expected in ((True, ["r-2"]), (False, ["r-1"])):
        told = await admin.ask("/decisions", params={"shadow_differs": differs})
        assert [each["id"] for each in told["decisions"]] == expected
    assert (await admin.ask("/decisions/r-2"))["shadow"] == {
        "verdict": "accept", "rule": None, "margin": -0.25, "policy": "on-trial", "policy_digest": "d" * 64
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/decisions", "/scores"])
async def test_the_worker_that_scored_is_told_and_its_decisions_are_found(admin: Admin, path: str) -> None:
    await admin.record([decision(1), replace(decision(2), worker="anna/desktop"), replace(decision(3), worker="anna")])
    (found,) = (await admin.ask(path, params={"worker": "anna/desktop"}))["decisions"]
    assert (found["id"], found["worker"]) == ("r-2", "anna/desktop")


async def test_each_outcome_says_what_decided(admin: Admin) -> None:
    shadow = replace(
        decision(1, replace(LISTED, media_type="image/gif")), shadow_matches=(replace(LISTED, bank="trial"),)
    )
    await admin.record([shadow, decision(2, LET_THROUGH, kept=True)])
    listed, let_through = [await admin.ask(f"/decisions/r-{number}") for number in (1, 2)]
    assert (listed["verdict"], listed["reason"], listed["message"]) == ("reject", "listed", "seen before")
    assert listed["listed"] == {
        "bank": "spam", "entry": "entry-7", "match": "perceptual", "distance_bits": 12, "frame": 3
    }  # fmt: skip
    assert listed["media_type"] == "image/gif"
    assert listed["shadow_matches"] == [listed["listed"] | {"bank": "trial"}]
    assert (let_through["verdict"], let_through["reason"], let_through["pending"]) == (None, "overloaded", True)
    assert let_through["message"] == "no time was left"


@pytest.mark.parametrize("path", ["/decisions", "/scores"])
async def test_the_canary_is_told_only_to_who_asks_for_it(admin: Admin, path: str) -> None:
    canary = replace(LISTED, bank=CANARY_BANK)
    await admin.record([decision(1), decision(2, canary, sha256="2" * 64), decision(3, LISTED)])

    async def told(**params: bool) -> list[str]:
        return [each["id"] for each in (await admin.ask(path, params=params))["decisions"]]

    assert await told() == ["r-3", "r-1"]
    assert await told(canary=True) == ["r-2"]
    of_body = await admin.ask(f"/bodies/{'2' * 64}{path}")
    assert [each["id"] for each in of_body["decisions"]] == ["r-2"], "who names its bytes wants to know why"
    assert (await admin.ask("/decisions/r-2"))["listed"]["bank"] == CANARY_BANK


async def test_decisions_are_filtered_and_paged_newest_first(admin: Admin) -> None:
    await admin.record(decision(number, REJECTED if number % 2 else LISTED) for number in range(6))
    wanted = {"reason": "policy", "since": (NOON + timedelta(seconds=1)).isoformat(), "limit": 2}
    page = await admin.ask("/decisions", params=wanted)
    rest = await admin.ask("/decisions", params=wanted | {"cursor": page["cursor"]})
    ids = [[each["id"] for each in of["decisions"]] for of in (page, rest)]
    assert ids == [["r-5", "r-3"], ["r-1"]]
    assert rest["cursor"] is None


async def test_the_decisions_on_one_body_are_found_by_its_sha256(admin: Admin) -> None:
    await admin.record([decision(1), decision(2, sha256="2" * 64), decision(3)])
    told = await admin.ask(f"/bodies/{'1' * 64}/decisions")
    assert [each["id"] for each in told["decisions"]] == ["r-3", "r-1"]


async def test_of_a_body_with_many_decisions_the_newest_are_told_and_a_cursor(admin: Admin) -> None:
    await admin.record(decision(number) for number in range(101))
    told = await admin.ask(f"/bodies/{'1' * 64}/decisions")
    assert (len(told["decisions"]), told["decisions"][0]["id"]) == (100, "r-100")
    rest = await admin.ask(f"/bodies/{'1' * 64}/decisions", params={"cursor": told["cursor"]})
    assert ([each["id"] for each in rest["decisions"]], rest["cursor"]) == (["r-0"], None)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/decisions?since=yesterday", "since"),
        ("/decisions?since=2026-01-31T12:00:00", "since"),
        ("/decisions?verdict=maybe", "verdict"),
        ("/decisions?limit=0", "limit"),
        ("/decisions?rule=%00", "rule"),
        ("/decisions?source=%00", "source"),
        ("/decisions?cursor=nonsense", "cursor"),
        ("/bodies/1234/decisions", "sha256"),
    ],
)
async def test_a_wrong_question_is_answered_with_what_is_wrong(admin: Admin, path: str, wrong: str) -> None:
    told = await admin.ask(path, 422)
    assert told["reason"] == "invalid"
    assert wrong in told["message"]


# Scores


async def test_scores_are_told_with_their_labels_and_model_and_without_fingerprints(admin: Admin) -> None:
    cosines = np.array([[0.25, -0.5], [0.125, 1.0]], np.float32)
    places = (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), ViewPlace(3, (0.0, 0.25, 0.5, 1.0)))
    fingerprint = FrameFingerprint(0, 90, bytes(range(256)))
    seen = Examination(
        LabelScores(cosines, 100.0, decision(1).model), places, "image/gif", 2, 90, fingerprints=(fingerprint,)
    )
    scored = [replace(decision(number), examination=seen, labels=("red", "größer")) for number in (1, 2)]
    await admin.record([*scored, decision(3, LET_THROUGH, sha256="3" * 64, kept=True)])
    told = await admin.ask("/scores", params={"limit": 2})
    assert (told["models"], told["label_sets"]) == (
        [{"name": "demo", "digest": "a" * 64, "image_size_px": 224, "derived_from": None, "notice": None, "parts": []}],
        [["red", "größer"]],
    )
    let_through, judged = told["decisions"]
    assert (let_through["id"], let_through["reason"], let_through["scores"]) == ("r-3", "overloaded", None)
    packed = base64.urlsafe_b64decode(judged["scores"].pop("values"))
    assert np.frombuffer(packed, "<f2").tolist() == [0.25, -0.5, 0.125, 1.0]
    assert judged == {
        "id": "r-2",
        "decided_at": "2026-01-31T12:00:02Z",
        "sha256": "1" * 64,
        "source": "unnamed",
        "verdict": "reject",
        "reason": "policy",
        "rule": "triangles",
        "worker": None,
        "scores": {
            "model": 0,
            "labels": 0,
            "logit_scale": 100.0,
            "places": [[0, 0.0, 0.0, 1.0, 1.0], [3, 0.0, 0.25, 0.5, 1.0]],
        },
    }
    rest = await admin.ask("/scores", params={"cursor": told["cursor"]})
    assert ([each["id"] for each in rest["decisions"]], rest["cursor"]) == (["r-1"], None)
    await admin.ask("/scores?cursor=nonsense", 422)
    of_body = await admin.ask(f"/bodies/{'1' * 64}/scores", params={"limit": 5})
    assert [(each["id"], each["scores"] is None) for each in of_body["decisions"]] == [("r-2", False), ("r-1", False)]
    assert of_body["label_sets"] == [["red", "größer"]]
    assert (await admin.ask(f"/bodies/{'9' * 64}/scores"))["decisions"] == []
    await admin.ask("/bodies/none/scores", 422)


# Forgetting


async def test_decisions_are_forgotten_by_what_is_named(admin: Admin) -> None:
    await admin.record([decision(1), decision(2), decision(3, sha256="2" * 64)])
    erased = await admin.ask("/forget", method="POST", json={"sha256": "1" * 64})
    assert erased["decisions"] == 2
    await admin.ask("/decisions/r-1", 404)
    await admin.ask("/decisions/r-3")
    assert (erased["done"], ("alice", "forgotten") in await admin.actions()) == (True, True)


class SlowLedger(MemoryLedger):
    """It erases two decisions at once, and the others when it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()

    async def forget(
        self, scope: ForgetScope, actor: str, show: Callable[[Erased], None] = lambda erased: None
    ) -> Erased:
        show(Erased(2))
        await self.may_go_on.wait()
        return await super().forget(scope, actor, show)


async def test_much_is_forgotten_in_the_background_and_one_wish_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.http.routes.admin.forgetting.ANSWER_WITHIN_S", 0.0)
    ledger = SlowLedger()
    async with client_of(ledger) as http:
        admin = Admin(ledger, http)
        await admin.record(map(decision, range(3)))
        assert "since the service started" in (await admin.ask("/forget", 404))["message"]
        begun = await admin.ask("/forget", method="POST", json={"sha256": "1" * 64})
        for told in (begun, await admin.ask("/forget")):
            assert (told["decisions"], told["done"]) == (2, False)
        refused = await admin.ask("/forget", 409, method="POST", json={"source": "x"})
        assert "an earlier `forget` is not done (2 decisions so far)" in refused["message"]
        ledger.may_go_on.set()
        monkeypatch.setattr("serve_app.http.routes.admin.forgetting.ANSWER_WITHIN_S", 10.0)
        for _ in range(2):
            told = await admin.ask("/forget")
            assert (told["decisions"], told["done"]) == (3, True)
        await admin.ask("/forget", method="POST", json={"source": "x"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sha256": "1" * 64, "source": "x"},
        {"sha256": "abc"},
        {"before": "2026-01-31T12:00:00"},
        {"everything": True},
        {"source": ""},
        {"source": "a\0b"},
    ],
)
async def test_an_unclear_wish_erases_nothing(admin: Admin, body: dict[str, Any]) -> None:
    await admin.record([decision(1)])
    await admin.ask("/forget", 422, method="POST", json=body)
    await admin.ask("/decisions/r-1")


async def test_the_ledger_says_whether_it_records(admin: Admin) -> None:
    assert await admin.ask("/ledger") == {"problem": None, "spooled": 0, "dropped": 0}
