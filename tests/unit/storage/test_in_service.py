"""The service's own rescans: when they happen, what they do, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from serve_app.domain import RESCAN_SOURCE, UNNAMED_SOURCE, UnavailableError, Verdict
from serve_app.ledger import MemoryLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.pictrs import API_KEY_ENV
from serve_app.settings import parse_settings
from serve_app.storage.in_service import (
    LOOK_EVERY_S,
    READY_EVERY_S,
    ModeratorScanner,
    ServiceRescans,
    rescanning,
)
from serve_app.wire import Answer
from tests.contract.pictrs.stand_in import API_KEY
from tests.unit.storage.conftest import Bench, Scanner, let_through
from tests.virtual_clock import VirtualClock

BOTH = 2
"""Asleep between two looks: the one who looks, and the one who renews the lease."""


class Waiting:
    """Decisions that wait, and the service that rescans them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.clock = VirtualClock()
        self.ledger = MemoryLedger(wall_clock=self.clock)
        self.came_back = asyncio.Event()

    async def add(self, *words: str) -> None:
        for word in words:
            number = len((await self.ledger.pending()).records)
            body = f"{word} number {number}".encode()
            self.bench.pictrs.store(body)
            hour_ago = self.clock.now - timedelta(hours=1)
            await self.ledger.record(let_through(body, f"w-{word}-{number}", hour_ago + timedelta(seconds=number)))

    async def left(self) -> list[str]:
        return [record.decision.request_id for record in (await self.ledger.pending()).records]

    @contextlib.asynccontextmanager
    async def rescans(
        self, mode: str = "report", sources: Mapping[str, Any] | None = None, **pictrs: Any
    ) -> AsyncIterator[asyncio.Task[None]]:
        settings = parse_settings(
            {"rescan": mode, "sources": sources or {}, "pictrs": {"url": self.bench.pictrs.url} | pictrs}
        )
        rescans = ServiceRescans(
            *(settings, self.bench.scanner, self.ledger, self.clock, self.clock.sleep, self.came_back)
        )
        running = asyncio.create_task(rescans.run())
        try:
            yield running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def look(self) -> None:
        await self.clock.advance(LOOK_EVERY_S, BOTH)


@pytest.fixture
def waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Waiting:
    monkeypatch.setenv(API_KEY_ENV, API_KEY)
    caplog.set_level(logging.INFO)
    return Waiting(bench)


async def test_it_reports_what_is_rejected_and_leaves_it(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    await waiting.add("accept", "reject")
    async with waiting.rescans():
        await waiting.look()
        assert await waiting.left() == ["w-reject-1"]
        (line,) = [each.message for each in caplog.records if each.levelno >= logging.ERROR]
        assert "request w-reject-1: the picture" in line
        assert "`pictwarden rescan --purge` removes it" in line
        assert len(waiting.bench.scanner.bodies) == 2
        await waiting.add("accept")
        await waiting.look()
        assert len(waiting.bench.scanner.bodies) == 3, "what is left is not scanned every minute"
        await waiting.clock.advance(86_400, BOTH)
        assert len(waiting.bench.scanner.bodies) == 4, "but every day"
    assert len(waiting.bench.pictrs.stored) == 3


async def test_it_purges_what_is_rejected_within_the_quota_of_each_day(waiting: Waiting) -> None:
    await waiting.add("reject", "reject", "reject")
    async with waiting.rescans("purge", max_purges_per_day=2):
        await waiting.look()
        assert await waiting.left() == ["w-reject-0"], "newest first"
        assert len(waiting.bench.pictrs.stored) == 1
        await waiting.look()
        assert len(waiting.bench.scanner.bodies) == 3
        await waiting.clock.advance(86_400, BOTH)
        assert waiting.bench.pictrs.stored == []
    entries = await waiting.ledger.audit_trail()
    assert [(each.actor, each.action) for each in entries] == [("service", "purged"), ("service", "purge")] * 3


async def test_it_leaves_the_pictures_of_other_sources(waiting: Waiting) -> None:
    await waiting.add("reject", "reject")
    ours = (await waiting.ledger.pending()).records[0].decision
    body = b"reject number 9"
    waiting.bench.pictrs.store(body)
    theirs = let_through(body, "w-theirs", waiting.clock.now - timedelta(hours=1))
    await waiting.ledger.record(replace(theirs, source="lemmy-a"))
    async with waiting.rescans("purge", sources={"lemmy-a": {"secrets_env": "A"}}):
        await waiting.look()
    assert ours.source == UNNAMED_SOURCE
    assert await waiting.left() == ["w-theirs"]
    assert len(waiting.bench.pictrs.stored) == 1


async def test_what_cannot_be_scanned_is_tried_ever_less_often(waiting: Waiting) -> None:
    await waiting.add("overloaded")
    async with waiting.rescans():
        await waiting.clock.advance(3600, BOTH)
        assert len(waiting.bench.scanner.bodies) == 6, "after 0, 1, 3, 7, 15 and 31 minutes"
        await waiting.clock.advance(86_400, BOTH)
        assert len(waiting.bench.scanner.bodies) == 6 + 24
    assert await waiting.left() == ["w-overloaded-0"]


async def test_a_picture_that_pict_rs_has_not_stored_yet_is_not_forgotten(waiting: Waiting) -> None:
    await waiting.ledger.record(let_through(b"reject this", "r-1", waiting.clock.now - timedelta(seconds=1)))
    async with waiting.rescans("purge"):
        await waiting.clock.asleep(BOTH)
        assert await waiting.left() == ["r-1"]
        waiting.bench.pictrs.store(b"reject this")
        await waiting.look()
        assert await waiting.left() == []
    assert waiting.bench.pictrs.stored == []


async def test_until_a_model_is_warm_nothing_is_fetched(waiting: Waiting) -> None:
    await waiting.add("accept")
    waiting.bench.scanner.is_warm = False
    async with waiting.rescans():
        await waiting.clock.advance(600, BOTH)
        assert waiting.bench.scanner.bodies == []
        waiting.bench.scanner.is_warm = True
        await waiting.clock.advance(READY_EVERY_S, BOTH)
        assert await waiting.left() == []


async def test_it_looks_at_once_when_somebody_scans_again(waiting: Waiting) -> None:
    scanner = waiting.bench.scanner
    await waiting.add("accept", "reject", "overloaded")
    async with waiting.rescans():
        await waiting.look()
        assert len(scanner.bodies) == 3 + 1, "the one that was not scanned is tried again after a minute"
        scanner.is_warm = False
        await waiting.add("accept")
        await waiting.look()
        assert len(scanner.bodies) == 4
        scanner.is_warm = True
        waiting.came_back.set()
        await waiting.clock.asleep(BOTH - 1)
        await waiting.clock.asleep(BOTH)
        assert len(scanner.bodies) == 6
        assert scanner.bodies[4].startswith(b"accept"), "newest first"
        assert scanner.bodies[5].startswith(b"overloaded"), "whoever comes back may be able to"
        assert await waiting.left() == ["w-reject-1", "w-overloaded-2"]
        assert not waiting.came_back.is_set()


async def test_whoever_comes_back_during_a_look_begins_another_one(waiting: Waiting) -> None:
    await waiting.add("overloaded")
    async with waiting.rescans():
        await waiting.clock.asleep(BOTH - 1)
        waiting.came_back.set()
        await waiting.clock.asleep(BOTH)
        assert len(waiting.bench.scanner.bodies) == 2
        await waiting.look()
        assert len(waiting.bench.scanner.bodies) == 3


async def test_whoever_comes_back_in_the_middle_of_a_look_begins_with_the_newest(waiting: Waiting) -> None:
    scanner = waiting.bench.scanner
    await waiting.add("accept", "accept", "overloaded")

    async def scan_once_back(body: bytes, of_source: str = UNNAMED_SOURCE) -> Answer:
        if len(scanner.bodies) == 1:
            waiting.came_back.set()
        return await Scanner.scan(scanner, body, of_source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "scan", scan_once_back)
        async with waiting.rescans():
            await waiting.clock.asleep(BOTH)
    order = [body.decode() for body in scanner.bodies]
    assert order == ["overloaded number 2", "accept number 1", "overloaded number 2", "accept number 0"]
    assert not waiting.came_back.is_set()
    assert await waiting.left() == ["w-overloaded-2"]


async def test_a_pict_rs_that_refuses_is_told_of_once(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    await waiting.add("accept")
    waiting.bench.pictrs.answers["/internal/hashes"] = lambda: web.json_response({"code": "read-only"}, status=400)
    async with waiting.rescans():
        for _ in range(3):
            await waiting.look()
        assert sum("rescanning goes on in a minute" in each.message for each in caplog.records) == 1
        waiting.bench.pictrs.answers.clear()
        await waiting.look()
    assert await waiting.left() == []


@pytest.mark.parametrize(("url", "key", "missing"), [(None, API_KEY, "pictrs.url is not set"), ("", "", API_KEY_ENV)])
async def test_what_it_lacks_is_said_once_something_is_pending(
    waiting: Waiting,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str | None,
    key: str,
    missing: str,
) -> None:
    monkeypatch.setenv(API_KEY_ENV, key)
    async with waiting.rescans(url=waiting.bench.pictrs.url if url is not None else None):
        await waiting.clock.advance(3 * LOOK_EVERY_S, 1)
        assert not caplog.records
        await waiting.add("reject")
        await waiting.clock.advance(3 * LOOK_EVERY_S, 1)
        (line,) = caplog.records
    assert "pictures were let through that have to be scanned" in line.message
    assert missing in line.message
    assert waiting.bench.scanner.bodies == []


@pytest.fixture
def write_key(waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes pict-rs's key into its file, which takes the place of the variable."""
    file = tmp_path / "key"
    file.touch(0o600)
    monkeypatch.delenv(API_KEY_ENV)
    monkeypatch.setenv(f"{API_KEY_ENV}_FILE", str(file))
    return lambda key: file.write_text(key, "utf-8")


async def test_a_replaced_key_of_pict_rs_counts_from_the_next_look_on(
    waiting: Waiting, write_key: Callable[[str], object]
) -> None:
    write_key(API_KEY)
    await waiting.add("reject")
    async with waiting.rescans():
        await waiting.look()
        assert len(waiting.bench.scanner.bodies) == 1
        waiting.bench.pictrs.api_key = "another-key-of-the-tests"
        await waiting.add("accept")
        await waiting.look()
        assert await waiting.left() == ["w-reject-0", "w-accept-1"]
        write_key("another-key-of-the-tests")
        await waiting.look()
        assert await waiting.left() == ["w-reject-0"]


async def test_a_key_that_cannot_be_read_at_the_start_or_later_is_tried_again(
    waiting: Waiting, write_key: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    write_key("")
    await waiting.add("reject")
    async with waiting.rescans():
        await waiting.clock.advance(2 * LOOK_EVERY_S, 1)
        assert [each.levelno for each in caplog.records] == [logging.ERROR]
        write_key(API_KEY)
        waiting.clock.now += timedelta(seconds=LOOK_EVERY_S)
        waiting.clock.wake()
        await waiting.look()
        assert len(waiting.bench.scanner.bodies) == 1
        write_key("")
        await waiting.add("accept")
        await waiting.look()
        assert "rescanning goes on in a minute" in caplog.records[-1].message
        assert await waiting.left() == ["w-reject-0", "w-accept-1"]
        write_key(API_KEY)
        await waiting.look()
        assert await waiting.left() == ["w-reject-0"]


async def test_the_moderator_scans_in_the_background(
    make_service: Callable[..., Any], draw: Callable[..., bytes]
) -> None:
    service = make_service()
    answer = await ModeratorScanner(service.moderator, 5.0).scan(draw((255, 0, 0)))
    assert (answer.verdict, answer.rule) == (Verdict.REJECT, "no-red")
    (decision,) = service.ledger.recorded
    assert (decision.request_id, decision.source) == (answer.request_id, RESCAN_SOURCE)
    assert service.preprocessor.lanes == ["background"]


async def test_it_is_ready_once_a_model_is_warm(make_service: Callable[..., Any]) -> None:
    service = make_service()
    scanner = ModeratorScanner(service.moderator, 5.0)
    service.scorer.asleep = UnavailableError("no scorer")
    assert not await scanner.is_ready()
    service.scorer.asleep = None
    assert await scanner.is_ready()


@pytest.mark.parametrize("mode", [False, "off", "report"])
async def test_it_ends_with_the_service(waiting: Waiting, make_service: Callable[..., Any], mode: str | bool) -> None:
    await waiting.add("reject")
    settings = parse_settings({"rescan": mode})
    before = asyncio.all_tasks()
    async with rescanning(settings, make_service().moderator, waiting.ledger, LiveLists(MemoryListStore())):
        names = {each.get_name() for each in asyncio.all_tasks() - before}
        assert names == {"late-matches"} | ({"rescan"} if mode == "report" else set())
    assert asyncio.all_tasks() == before
