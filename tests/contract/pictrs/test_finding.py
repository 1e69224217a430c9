"""The picture that a decision let through: found in a stand-in for pict-rs, and in a real one."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta

from serve_app.domain import (
    Decision,
    Judged,
    Judgement,
    ModelIdentity,
    Outcome,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.pictrs import Reference, pictures_of
from tests.contract.pictrs.conftest import Pictrs

NOT_SCANNED = Unscanned(UnscannedReason.UNAVAILABLE, "no scorer")
IN_PART = Judged(
    Judgement(Verdict.ACCEPT, None, "no rule holds", 0, {}, None),
    ViewPlace(0, (0, 0, 1, 1)),
    "image/png",
    1,
    1,
    1,
    True,
)


def let_through(body: bytes, decided_at: datetime | None = None, outcome: Outcome = NOT_SCANNED) -> Decision:
    return Decision(
        request_id="r-1",
        decided_at=decided_at or datetime.now(UTC),
        sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
        outcome=outcome,
        kept=True,
        model=ModelIdentity("demo", "a" * 64, 224, None),
        policy="demo",
        policy_digest="c" * 64,
        elapsed_ms=12.5,
    )


async def found(pictrs: Pictrs, decision: Decision) -> list[tuple[str, ...]]:
    return [picture.aliases async for picture in pictures_of(pictrs.client, decision)]


async def test_a_whole_body_is_found_whenever_it_was_stored(pictrs: Pictrs) -> None:
    body = os.urandom(5000)
    alias = await pictrs.store(body)
    assert await found(pictrs, let_through(body, datetime(2020, 1, 1, tzinfo=UTC))) == [(alias,)]


async def test_a_cut_body_is_found_by_its_time_and_its_first_bytes(pictrs: Pictrs) -> None:
    before, body, after = (os.urandom(20_000) for _ in range(3))
    await pictrs.store(before)
    alias = await pictrs.store(body)
    await pictrs.store(after)
    assert await found(pictrs, let_through(body[:8192])) == [(alias,)]


async def test_every_picture_that_begins_as_a_cut_body_did_is_found(pictrs: Pictrs) -> None:
    first = os.urandom(8192)
    aliases = [await pictrs.store(first + os.urandom(100)) for _ in range(2)]
    assert await found(pictrs, let_through(first)) == [(alias,) for alias in reversed(aliases)]


async def test_a_body_that_was_scanned_in_part_is_looked_for_both_ways(pictrs: Pictrs) -> None:
    body = os.urandom(20_000)
    part, whole = await pictrs.store(body[:8192]), await pictrs.store(body)
    assert await found(pictrs, let_through(body[:8192])) == [(part,)]
    assert await found(pictrs, let_through(body[:8192], outcome=IN_PART)) == [(part,), (whole,)]


async def test_a_cut_body_is_not_looked_for_at_another_time(pictrs: Pictrs) -> None:
    body, stored_at = os.urandom(20_000), datetime.now(UTC)
    await pictrs.store(body)
    for decided_at in (stored_at - timedelta(seconds=61), datetime.now(UTC) + timedelta(seconds=61)):
        assert await found(pictrs, let_through(body[:8192], decided_at)) == []


async def test_a_picture_that_was_purged_or_never_stored_is_not_found(pictrs: Pictrs) -> None:
    body = os.urandom(20_000)
    await pictrs.client.purge(await pictrs.client.picture(Reference("alias", await pictrs.store(body))))
    assert await found(pictrs, let_through(body)) == []
    assert await found(pictrs, let_through(body[:8192])) == []
    assert await found(pictrs, let_through(os.urandom(100))) == []
