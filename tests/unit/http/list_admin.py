"""The admin API over a ledger, lists and a stand-in for pict-rs, and an HTTP client of it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from serve_app.admin_api import ADMIN_PATH
from serve_app.domain import (
    Body,
    Call,
    Decision,
    Outcome,
    Unscanned,
    UnscannedReason,
)
from serve_app.http.admin import create_admin_app
from serve_app.http.guard import Guard
from serve_app.ledger import MemoryLedger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.pictrs import API_KEY_ENV
from serve_app.settings import parse_settings
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in
from tests.unit.listed_decisions import REJECTED
from tests.unit.listed_decisions import decision as decision_on

SECRET = "the-secret-of-alice"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
PICTURE = b"the bytes of a picture"
SHA256 = hashlib.sha256(PICTURE).hexdigest()
LET_THROUGH = Unscanned(UnscannedReason.OVERLOADED, "no time was left")


def decision(
    request_id: str = "r-1", outcome: Outcome = REJECTED, *, kept: bool = False, body: bytes = PICTURE
) -> Decision:
    return decision_on(request_id, body, outcome, kept=kept)


@dataclass
class Admin:
    """The API over a ledger, lists and a stand-in for pict-rs, and an HTTP client of it."""

    ledger: MemoryLedger
    lists: MemoryListStore
    pictrs: StandIn
    http: httpx.AsyncClient
    outcome: Outcome = REJECTED
    """Of every scan."""

    async def ask(self, path: str, status: int = 200, method: str = "GET", **options: Any) -> Any:
        answer = await self.http.request(method, ADMIN_PATH + path, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200, **fields: Any) -> Any:
        return await self.ask(path, status, "POST", json=fields)

    async def moderate(self, body: Body, call: Call) -> Decision:
        made = replace(decision(call.request_id, self.outcome, body=body.content), source=call.source)
        await self.ledger.record(made)
        return made

    def kinds(self) -> list[tuple[str, str, str]]:
        """Kind, bank and type of every entry."""
        return [(each.kind, each.bank, each.fingerprint.type) for each in self.lists.page()]


@contextlib.asynccontextmanager
async def running_admin(monkeypatch: pytest.MonkeyPatch, **sections: Any) -> AsyncIterator[Admin]:
    """The API, in this process, with more sections of the settings."""
    monkeypatch.setenv(API_KEY_ENV, API_KEY)
    async with standing_in() as pictrs:
        ledger, lists = MemoryLedger(), MemoryListStore()
        guard = Guard(["a-secret-for-pict-rs"], admin_secrets={"alice": SECRET})
        settings = parse_settings({"pictrs": {"url": pictrs.url, "max_purges_per_day": 1}, **sections})
        made: list[Admin] = []

        async def moderate(body: Body, call: Call, by_terms_of: str | None) -> Decision:
            return await made[0].moderate(body, call)

        app = create_admin_app(guard, ledger, lists, settings, moderate)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {SECRET}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://pictwarden", headers=headers) as http:
            made.append(Admin(ledger, lists, pictrs, http))
            yield made[0]
