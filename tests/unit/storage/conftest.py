"""What the tests of stored pictures share: a stand-in for pict-rs, one for the service, and decisions that wait."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from serve_app.domain import UNNAMED_SOURCE, Decision, ModelIdentity, Unscanned, UnscannedReason, Verdict
from serve_app.ledger import MemoryLedger
from serve_app.pictrs import PictrsClient, Purger
from serve_app.storage import Finding, Rescanner
from serve_app.wire import Answer
from tests.contract.pictrs.conftest import open_at
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in

MAX_BODY_BYTES = 10_000

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Scanner:
    """Scans nothing: the first word of a body is the verdict, or the reason why there is none."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.sources: list[str] = []
        self.is_warm = True

    async def is_ready(self) -> bool:
        return self.is_warm

    async def scan(self, body: bytes, of_source: str = UNNAMED_SOURCE) -> Answer:
        self.bodies.append(body)
        self.sources.append(of_source)
        word = body.split()[0].decode()
        verdict = Verdict(word) if word in list(Verdict) else None
        reason = "policy" if verdict else word
        return Answer(verdict=verdict, reason=reason, message="said.", request_id=f"r-{len(self.bodies)}", elapsed_ms=1)


@dataclass
class Quota:
    """Purges of a day, as ``audit`` counts them."""

    most_a_day: int
    audit: MemoryLedger = field(default_factory=MemoryLedger)
    actor: str = "service"
    wall_clock: Callable[[], datetime] = lambda: NOON

    def purger(self, pictrs: PictrsClient) -> Purger:
        return Purger(pictrs, self.audit, self.actor, self.most_a_day, self.wall_clock)


@dataclass
class Bench:
    pictrs: StandIn
    scanner: Scanner

    @contextlib.asynccontextmanager
    async def rescanner(
        self, quota: Quota | None = None, key: str = API_KEY, of_source: str | None = None
    ) -> AsyncIterator[Rescanner]:
        async with open_at(self.pictrs.url, key) as client:
            purger = quota.purger(client) if quota else None
            yield Rescanner(client, self.scanner, MAX_BODY_BYTES, purger, of_source=of_source)

    async def rescan(
        self,
        body: bytes,
        quota: Quota | None = None,
        key: str = API_KEY,
        source: str = UNNAMED_SOURCE,
        of_source: str | None = None,
    ) -> Finding:
        async with self.rescanner(quota, key, of_source) as rescanner:
            return await rescanner.rescan(replace(let_through(body), source=source))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with contextlib.AsyncExitStack() as stack:
        yield Bench(await stack.enter_async_context(standing_in()), Scanner())


def let_through(body: bytes, request_id: str = "r-0", decided_at: datetime | None = None) -> Decision:
    """The decision on a picture that nobody scanned."""
    return Decision(
        request_id=request_id,
        decided_at=decided_at or datetime.now(UTC),
        sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
        outcome=Unscanned(UnscannedReason.UNAVAILABLE, "no scorer"),
        kept=True,
        model=ModelIdentity("demo", "a" * 64, 224, None),
        policy="demo",
        policy_digest="c" * 64,
        elapsed_ms=12.5,
    )
