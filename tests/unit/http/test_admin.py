"""The admin API: who may use it, what it tells of decisions, and what stays in the audit."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from serve_app.admin_api import ADMIN_PATH, MAX_BODY_BYTES, DecisionRecord
from serve_app.domain import (
    AuditEntry,
    Body,
    Call,
    Decision,
    Examination,
    FrameFingerprint,
    Judged,
    Judgement,
    LabelScores,
    LedgerHealth,
    Listed,
    ListMatch,
    ModelIdentity,
    Outcome,
    ShadowJudgement,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.http.admin import create_admin_app
from serve_app.http.failures import Failures
from serve_app.http.guard import Guard
from serve_app.ledger import MemoryLedger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.settings import parse_settings

SECRET = "the-secret-of-alice"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
REJECTED = Judged(
    Judgement(Verdict.REJECT, "triangles", "red triangles are refused", 0, {"triangle": 0.31}, 0.04),
    ViewPlace(3, (0.0, 0.25, 0.5, 1.0)),
    "image/gif",
    views_seen=2,
    frames_seen=2,
    frames_total=90,
)
LISTED = Listed(Verdict.REJECT, "spam", "entry-7", "seen before", ListMatch.PERCEPTUAL, 12, 3)
LET_THROUGH = Unscanned(UnscannedReason.OVERLOADED, "no time was left")


def decision(number: int, outcome: Outcome = REJECTED, *, kept: bool = False, sha256: str = "1" * 64) -> Decision:
    return Decision(
        f"r-{number}",
        NOON + timedelta(seconds=number),
        sha256,
        1234,
        outcome,
        kept,
        ModelIdentity("demo", "a" * 64, 224),
        "colours",
        "c" * 64,
        12.5,
        lists_version=4,
    )


async def scan_nothing(body: Body, call: Call) -> Decision:
    raise AssertionError("nothing is scanned here")


class BrokenLedger(MemoryLedger):
    """Its database is gone."""

    async def audit(self, entry: AuditEntry) -> None:
        raise OSError("disk full")

    def health(self) -> LedgerHealth:
        return LedgerHealth(problem="disk full")


@dataclass
class Admin:
    """The API over a ledger, and an HTTP client of it."""

    ledger: MemoryLedger
    http: httpx.AsyncClient

    async def ask(self, path: str, status: int = 200, method: str = "GET", **options: Any) -> Any:
        answer = await self.http.request(method, ADMIN_PATH + path, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def record(self, decisions: Iterable[Decision]) -> None:
        for each in decisions:
            await self.ledger.record(each)

    async def actions(self) -> list[tuple[str, str]]:
        return [(entry.actor, entry.action) for entry in await self.ledger.audit_trail()]


def client_of(ledger: MemoryLedger, secret: str = SECRET) -> httpx.AsyncClient:
    guard = Guard(["a-secret-for-pict-rs"], admin_secrets={"alice": SECRET})
    app = create_admin_app(guard, ledger, MemoryListStore(), parse_settings({}), scan_nothing)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://pictwarden",
        headers={"authorization": f"Bearer {secret}"},
    )


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    ledger = MemoryLedger()
    async with client_of(ledger) as http:
        yield Admin(ledger, http)


# Who may


@pytest.mark.parametrize("path", [f"{ADMIN_PATH}/decisions", f"{ADMIN_PATH}/nothing", "/docs", "/openapi.json", "/"])
async def test_nothing_is_told_without_an_admins_secret(path: str) -> None:
    ledger = MemoryLedger()
    async with client_of(ledger, "a-secret-for-pict-rs") as http:
        answer = await http.get(path)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "unauthorised"
    assert answer.headers["www-authenticate"] == 'Bearer realm="pictwarden"'
    assert await ledger.audit_trail() == []


async def test_whoever_fails_too_often_must_wait_and_locks_nobody_out_who_shares_the_address(admin: Admin) -> None:
    wrong = {"authorization": "Bearer a-guess-of-somebody"}
    for _ in range(10):
        await admin.ask("/decisions", 401, headers=wrong)
    answer = await admin.http.get(f"{ADMIN_PATH}/decisions", headers=wrong)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    await admin.ask("/decisions")


def test_failures_are_forgotten_after_a_minute_and_counted_by_address() -> None:
    now_s = 0.0
    failures = Failures(lambda: now_s)
    for second in range(10):
        now_s = float(second)
        failures.count("192.0.2.1")
    assert failures.wait_s("192.0.2.1") == 51.0
    assert failures.wait_s("192.0.2.2") == 0.0
    now_s = 60.5
    assert failures.wait_s("192.0.2.1") == 0.0
    failures.count("192.0.2.1")
    assert failures.wait_s("192.0.2.1") == 0.5  # the second of the ten is 59.5 s old


def test_a_flood_of_addresses_takes_no_memory() -> None:
    failures = Failures(lambda: 0.0)
    for number in range(5000):
        failures.count(str(number))
    assert len(failures._by_address) <= 1024


async def test_the_documentation_is_for_admins(admin: Admin) -> None:
    assert (await admin.http.get("/docs")).status_code == 200
    assert f"{ADMIN_PATH}/decisions" in (await admin.http.get("/openapi.json")).json()["paths"]


# The audit


async def test_each_call_is_in_the_audit_with_the_name_of_its_secret(admin: Admin) -> None:
    await admin.ask("/decisions", params={"rule": "triangles"})
    await admin.ask("/decisions/nobody", 404)
    entries = await admin.ledger.audit_trail()
    assert [(each.actor, each.action) for each in entries] == [
        ("alice", f"GET {ADMIN_PATH}/decisions/nobody"),
        ("alice", f"GET {ADMIN_PATH}/decisions"),
    ]
    assert entries[1].detail == {"rule": "triangles"}
    told = (await admin.ask("/audit", params={"limit": 1}))["entries"]
    assert [(each["actor"], each["action"]) for each in told] == [("alice", f"GET {ADMIN_PATH}/audit")]


async def test_nothing_is_done_that_cannot_be_recorded() -> None:
    ledger = BrokenLedger()
    await ledger.record(decision(1))
    async with client_of(ledger) as http:
        answer = await http.post(f"{ADMIN_PATH}/forget", json={"source": "unnamed"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert await ledger.get("r-1") is not None


async def test_a_ledger_that_cannot_be_written_says_so() -> None:
    async with client_of(BrokenLedger()) as http:
        answer = await http.get(f"{ADMIN_PATH}/ledger")
    assert (answer.status_code, answer.json()["problem"]) == (200, "disk full")


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
        "policy_digest": "c" * 64,
        "lists_version": 4,
        "elapsed_ms": 12.5,
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


async def test_each_outcome_says_what_decided(admin: Admin) -> None:
    shadow = replace(decision(1, LISTED), shadow_matches=(replace(LISTED, bank="trial"),))
    await admin.record([shadow, decision(2, LET_THROUGH, kept=True)])
    listed, let_through = [await admin.ask(f"/decisions/r-{number}") for number in (1, 2)]
    assert (listed["verdict"], listed["reason"], listed["message"]) == ("reject", "listed", "seen before")
    assert listed["listed"] == {
        "bank": "spam", "entry": "entry-7", "match": "perceptual", "distance_bits": 12, "frame": 3
    }  # fmt: skip
    assert listed["shadow_matches"] == [listed["listed"] | {"bank": "trial"}]
    assert (let_through["verdict"], let_through["reason"], let_through["pending"]) == (None, "overloaded", True)
    assert let_through["message"] == "no time was left"


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
        [{"name": "demo", "digest": "a" * 64, "image_size_px": 224, "derived_from": None}],
        [["red", "größer"]],
    )
    let_through, judged = told["decisions"]
    assert (let_through["id"], let_through["reason"], let_through["scores"]) == ("r-3", "overloaded", None)
    packed = base64.urlsafe_b64decode(judged["scores"].pop("cosines"))
    assert np.frombuffer(packed, "<f2").tolist() == [0.25, -0.5, 0.125, 1.0]
    assert judged == {
        "id": "r-2",
        "decided_at": "2026-01-31T12:00:02Z",
        "sha256": "1" * 64,
        "source": "unnamed",
        "verdict": "reject",
        "reason": "policy",
        "rule": "triangles",
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


# Forgetting


async def test_decisions_are_forgotten_by_what_is_named(admin: Admin) -> None:
    await admin.record([decision(1), decision(2), decision(3, sha256="2" * 64)])
    erased = await admin.ask("/forget", method="POST", json={"sha256": "1" * 64})
    assert erased["decisions"] == 2
    await admin.ask("/decisions/r-1", 404)
    await admin.ask("/decisions/r-3")
    assert ("alice", "forget") in await admin.actions()


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


async def test_a_large_body_is_not_read_to_its_end(admin: Admin) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * (MAX_BODY_BYTES // 10)
        raise AssertionError("the body was read to its end")

    told = await admin.ask("/forget", 413, method="POST", content=endless())
    assert told["reason"] == "too_large"


async def test_the_ledger_says_whether_it_records(admin: Admin) -> None:
    assert await admin.ask("/ledger") == {"problem": None, "spooled": 0, "dropped": 0}


async def test_a_fault_of_ours_is_not_explained(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: str) -> None:
        raise RuntimeError("a detail of ours")

    monkeypatch.setattr(admin.ledger, "get", fail)
    told = await admin.ask("/decisions/r-1", 500)
    assert told == {"reason": "internal", "message": "internal fault: see the log of the service"}


async def test_methods_and_paths_that_are_none_are_answered_in_the_same_shape(admin: Admin) -> None:
    assert (await admin.ask("/decisions", 405, method="DELETE"))["reason"] == "method_not_allowed"
    assert (await admin.ask("/nothing", 404))["reason"] == "not_found"
