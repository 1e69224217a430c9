"""What the audit says of a purge: before it is done, when it is over, and where it went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from serve_app.domain import AuditEntry, PictrsUnavailableError
from serve_app.ledger import MemoryLedger
from serve_app.pictrs import Purger
from serve_app.purges import PURGE, PURGED, Doomed, QuotaOfPurges, purges_since
from tests.contract.pictrs.conftest import open_at
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Clock:
    """A second later at each look."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class DeafOnce(MemoryLedger):
    """A ledger whose database fails at the end of a purge."""

    async def audit(self, entry: AuditEntry) -> None:
        if entry.action == PURGED:
            raise OSError("the disk is full")
        await super().audit(entry)


@pytest.fixture
async def pictrs() -> AsyncIterator[StandIn]:
    async with standing_in() as started:
        yield started


async def purge(pictrs: StandIn, audit: MemoryLedger, alias: str, most_a_day: int = 9) -> tuple[str, ...] | None:
    async with open_at(pictrs.url, API_KEY) as client:
        page = await client.page()
        (picture,) = (each for each in page.pictures if alias in each.aliases)
        return await Purger(client, audit, "alice", most_a_day, Clock()).purge(picture, "ban: spam")


async def test_what_was_purged_is_known_with_its_aliases_before_and_after(pictrs: StandIn) -> None:
    audit, alias = MemoryLedger(), pictrs.store(b"a picture")
    assert await purge(pictrs, audit, alias) == (alias,)
    (found,) = await purges_since(audit, NOON)
    assert (found.actor, found.why, found.body_bytes) == ("alice", "ban: spam", 9)
    assert (found.aliases, found.purged, found.problem) == ((alias,), (alias,), None)
    assert (found.begun_at, found.ended_at) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=2))


async def test_a_purge_that_fails_is_told_as_failed_and_is_told_again_when_it_succeeds(pictrs: StandIn) -> None:
    audit, alias = MemoryLedger(), pictrs.store(b"a picture")
    pictrs.answers["/internal/purge"] = lambda: web.Response(status=500)
    with pytest.raises(PictrsUnavailableError):
        await purge(pictrs, audit, alias)
    del pictrs.answers["/internal/purge"]
    await purge(pictrs, audit, alias, most_a_day=1)
    second, first = await purges_since(audit, NOON)
    assert first.problem is not None
    assert "failed (500" in first.problem
    assert (first.purged, second.purged, second.problem) == ((), (alias,), None)


async def test_beyond_the_quota_nothing_is_purged_and_nothing_recorded(pictrs: StandIn) -> None:
    audit, alias = MemoryLedger(), pictrs.store(b"a picture")
    assert await purge(pictrs, audit, alias, most_a_day=0) is None
    assert await purges_since(audit, NOON) == []
    assert len(pictrs.stored) == 1


async def test_a_purge_whose_end_nobody_could_record_is_done_and_known_to_have_begun(
    pictrs: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    audit, alias = DeafOnce(), pictrs.store(b"a picture")
    assert await purge(pictrs, audit, alias) == (alias,)
    (found,) = await purges_since(audit, NOON)
    assert (found.aliases, found.ended_at, found.purged) == ((alias,), None, ())
    assert "could not be recorded in the audit" in caplog.text


async def test_a_purge_of_another_version_is_told_with_what_it_recorded() -> None:
    audit = MemoryLedger()
    await audit.audit(AuditEntry(NOON, "alice", PURGE, {"sha256": "1" * 64, "why": "ban: spam"}))
    (found,) = await purges_since(audit, NOON)
    assert (found.sha256, found.why, found.aliases, found.body_bytes) == ("1" * 64, "ban: spam", (), None)


async def test_names_of_files_that_are_no_text_can_be_read_again() -> None:
    audit, name = MemoryLedger(), b"caf\xe9\n\x1b[2J.png".decode("utf-8", "surrogateescape")

    async def remove() -> tuple[str, ...]:
        return (name,)

    quota = QuotaOfPurges(audit, "alice", 1, Clock())
    await quota.purge(Doomed("1" * 64, 9, (name,), "file:/srv/media"), "storage scan: spam", remove)
    (found,) = await purges_since(audit, NOON)
    assert (found.store, found.aliases) == ("file:/srv/media", found.purged)
    assert found.purged == ("caf\\udce9\\n\\x1b[2J.png",)
