"""Pictures that a real pict-rs stored unscanned: found, fetched, scanned by a real Pictwarden, and purged."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from serve_app.domain import Decision, ModelIdentity, Unscanned, UnscannedReason
from serve_app.pictrs import API_KEY_ENV, open_pictrs
from serve_app.settings import PictrsSettings
from serve_app.storage import Rescanner, Result, open_door
from tests.e2e.pictrs.server import API_KEY, running_pictrs
from tests.serve.conftest import ROOT, drawn, padded

RED_TRIANGLE = (ROOT / "serve_app" / "cli" / "samples" / "red-triangle.png").read_bytes()
MAX_BODY_BYTES = 64_000_000

pytestmark = pytest.mark.timeout(180)


class Quota:
    async def take(self, sha256: str, why: str) -> bool:
        return True


@pytest.fixture(scope="module")
def unguarded(_binary):
    """A pict-rs that asks nobody."""
    with running_pictrs() as started:
        yield started


@contextlib.asynccontextmanager
async def rescanner(unguarded, service, quota: Quota | None = None) -> AsyncIterator[Rescanner]:
    settings = PictrsSettings(url=unguarded.url)
    async with open_pictrs(settings, {API_KEY_ENV: API_KEY}) as pictrs, open_door(service.url) as door:
        yield Rescanner(pictrs, door, MAX_BODY_BYTES, quota)


def let_through(body: bytes) -> Decision:
    return Decision(
        request_id="r-0",
        decided_at=datetime.now(UTC),
        sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
        outcome=Unscanned(UnscannedReason.UNAVAILABLE, "no scorer"),
        kept=True,
        model=ModelIdentity("demo", "a" * 64, 224, None),
        policy="demo",
        policy_digest="c" * 64,
        elapsed_ms=12.5,
    )


async def test_what_passed_is_scanned_and_only_told(unguarded, service):
    accepted, rejected = padded(drawn("blue"), 50_000), padded(RED_TRIANGLE, 50_000)
    aliases = {body: unguarded.upload(body).aliases for body in (accepted, rejected)}
    async with rescanner(unguarded, service) as bench:
        for body, result in ((accepted, Result.ACCEPTED), (rejected, Result.REJECTED)):
            finding = await bench.rescan(let_through(body))
            assert (finding.result, finding.aliases) == (result, aliases[body])
    assert unguarded.original(*aliases[rejected]).content == rejected


@pytest.mark.parametrize("sent_bytes", [8192, 60_000])
async def test_what_is_rejected_is_purged_though_only_a_part_of_it_was_sent(unguarded, service, sent_bytes):
    body = padded(RED_TRIANGLE, 60_000 + sent_bytes % 7)
    (alias,), (other,) = unguarded.upload(body).aliases, unguarded.upload(padded(drawn("blue"), 40_000)).aliases
    async with rescanner(unguarded, service, Quota()) as bench:
        finding = await bench.rescan(let_through(body[:sent_bytes]))
        assert (finding.result, finding.aliases) == (Result.PURGED, (alias,))
        assert (await bench.rescan(let_through(body[:sent_bytes]))).result is Result.GONE
    assert unguarded.original(alias).status_code == 404
    assert unguarded.original(other).status_code == 200
