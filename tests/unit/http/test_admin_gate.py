"""Who may use the admin API, what stays in the audit, and what is answered to wrong requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from serve_app.admin_api import ADMIN_PATH, MAX_BODY_BYTES
from serve_app.domain import (
    AuditEntry,
    LedgerHealth,
)
from serve_app.http.failures import Failures
from serve_app.ledger import MemoryLedger
from tests.unit.http.admin_client import SECRET, Admin, app_of, client_of, decision


class BrokenLedger(MemoryLedger):
    """Its database is gone."""

    async def audit(self, entry: AuditEntry) -> None:
        raise OSError("disk full")

    def health(self) -> LedgerHealth:
        return LedgerHealth(problem="disk full")


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


def _calls() -> list[tuple[str, str]]:
    """A call of every route that the application has: its method, and a path that leads to it."""
    app = app_of(MemoryLedger())
    described = {path: [each.upper() for each in methods] for path, methods in app.openapi()["paths"].items()}
    # What serves the description itself is not in it.
    others = {path: ["GET"] for route in app.routes if (path := getattr(route, "path", None))}
    calls = [(method, path) for path, methods in {**others, **described}.items() for method in methods]
    return sorted((method, re.sub(r"{[^}]*}", "1", path)) for method, path in calls)


@pytest.mark.parametrize(("method", "path"), _calls())
async def test_a_call_of_every_route_is_in_the_audit(admin: Admin, method: str, path: str) -> None:
    await admin.http.request(method, path, params={"cursor": "x"})
    entries = await admin.ledger.audit_trail()
    assert [(each.actor, each.action, each.detail) for each in entries] == [
        ("alice", f"{method} {path}", {"cursor": "x"})
    ]


def test_every_route_of_the_api_is_among_them() -> None:
    paths = {path for _, path in _calls()}
    assert {f"{ADMIN_PATH}/{each}" for each in ("ledger", "audit", "forget", "decisions", "pictures/ban")} <= paths
    assert len(paths) > 20


@given(st.text(max_size=20).filter(lambda path: path not in {".", ".."}), st.text(max_size=20))
async def test_whatever_is_asked_is_in_the_audit(path: str, rule: str) -> None:
    ledger = MemoryLedger()
    async with client_of(ledger) as http:
        await http.get(f"{ADMIN_PATH}/{quote(path, safe='')}", params={"rule": rule})
    (entry,) = await ledger.audit_trail()
    assert entry.actor == "alice"
    assert entry.detail == {"rule": rule.replace("\0", r"\u0000")}
    assert entry.action == f"GET {ADMIN_PATH}/{path}".replace("\0", r"\u0000")


async def test_what_no_database_can_store_is_refused_and_in_the_audit_with_an_escape(admin: Admin) -> None:
    await admin.ask("/decisions/a%00b", 422)
    (entry,) = await admin.ledger.audit_trail()
    assert (entry.actor, entry.action) == ("alice", rf"GET {ADMIN_PATH}/decisions/a\u0000b")


async def test_nothing_is_done_that_cannot_be_recorded() -> None:
    ledger = BrokenLedger()
    await ledger.record(decision(1))
    async with client_of(ledger) as http:
        answer = await http.post(f"{ADMIN_PATH}/forget", json={"source": "unnamed"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert await ledger.get("r-1") is not None


async def test_a_ledger_that_cannot_be_written_says_so_and_the_log_has_who_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client_of(BrokenLedger()) as http:
        answer = await http.get(f"{ADMIN_PATH}/ledger")
    assert (answer.status_code, answer.json()["problem"]) == (200, "disk full")
    assert f"'GET {ADMIN_PATH}/ledger': a request of alice could not be recorded in the audit" in caplog.messages


# Wrong requests, and faults of ours


async def test_a_large_body_is_not_read_to_its_end(admin: Admin) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * (MAX_BODY_BYTES // 10)
        raise AssertionError("the body was read to its end")

    told = await admin.ask("/forget", 413, method="POST", content=endless())
    assert told["reason"] == "too_large"


async def test_a_fault_of_ours_is_not_explained(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: str) -> None:
        raise RuntimeError("a detail of ours")

    monkeypatch.setattr(admin.ledger, "get", fail)
    told = await admin.ask("/decisions/r-1", 500)
    assert told == {"reason": "internal", "message": "internal fault: see the log of the service"}


async def test_methods_and_paths_that_are_none_are_answered_in_the_same_shape(admin: Admin) -> None:
    assert (await admin.ask("/decisions", 405, method="DELETE"))["reason"] == "method_not_allowed"
    assert (await admin.ask("/nothing", 404))["reason"] == "not_found"


@pytest.mark.parametrize("path", ["/lists/import", "/forget"])
async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = MemoryLedger()
    app = app_of(ledger)
    begun = {"type": "http.request", "body": b"sha256 12", "more_body": True}
    messages: Iterator[Message] = iter([begun, {"type": "http.disconnect"}])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": ADMIN_PATH + path,
        "query_string": b"bank=theirs&format=plain&kind=deny" if path == "/lists/import" else b"",
        "headers": [(b"authorization", f"Bearer {SECRET}".encode()), (b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert [each for each in caplog.records if each.levelname == "ERROR" or each.exc_info] == []
