"""The admin API over a ledger in memory, and an HTTP client of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from serve_app.admin_api import ADMIN_PATH
from serve_app.domain import (
    Body,
    Call,
    Decision,
    ModelIdentity,
    Outcome,
)
from serve_app.http.admin import create_admin_app
from serve_app.http.guard import Guard
from serve_app.ledger import MemoryLedger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.settings import parse_settings
from tests.unit.outcomes import REJECTED

SECRET = "the-secret-of-alice"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


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


async def scan_nothing(body: Body, call: Call, by_terms_of: str | None) -> Decision:
    raise AssertionError("nothing is scanned here")


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


def app_of(ledger: MemoryLedger) -> FastAPI:
    guard = Guard(["a-secret-for-pict-rs"], admin_secrets={"alice": SECRET})
    return create_admin_app(guard, ledger, MemoryListStore(), parse_settings({}), scan_nothing)


def client_of(ledger: MemoryLedger, secret: str = SECRET) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app_of(ledger), raise_app_exceptions=False),
        base_url="http://pictwarden",
        headers={"authorization": f"Bearer {secret}"},
    )
