"""A store in memory, a scanner that goes by the bytes, and a journal in memory, for runs in milliseconds."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from serve_app.domain import UNNAMED_SOURCE, FileChangedError, FileGoneError, Verdict
from serve_app.ledger import MemoryLedger
from serve_app.purges import QuotaOfPurges
from serve_app.storage.scan.disposal import Disposal, OnReject, Removal, Report
from serve_app.storage.scan.journal import ScanJournal
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.run import StorageScan, Terms
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.wire import Answer

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
EVERYTHING = Wanted()


def sha256_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class MemorySource:
    """A store in memory. ``point`` is called wherever a real one would wait."""

    url = audit_name = "memory:"

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies = dict(bodies)
        self.errors: dict[str, Exception] = {}
        self.part = 3
        self.listing_fails_after: int | None = None
        self.listing_error: Exception = OSError("the listing broke")
        self.removed: list[str] = []
        self.quarantined: list[str] = []
        self.read_names: list[str] = []
        self.point: Callable[[str], Awaitable[None]] = lambda _: asyncio.sleep(0)

    async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        listed = [self.file(name) for name in sorted(self.bodies)]
        found = [each for each in listed if wanted.has(each)]
        for start in range(0, len(found), self.part):
            await self.point("list")
            if self.listing_fails_after is not None and start >= self.listing_fails_after:
                raise self.listing_error
            yield found[start : start + self.part]

    def file(self, name: str) -> StoredFile:
        body = self.bodies[name]
        return StoredFile(name, len(body), sha256_of(body)[:8], NOON)

    async def count(self, wanted: Wanted) -> int | None:
        return len(self.bodies)

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        await self.point("read")
        if error := self.errors.get(file.name):
            raise error
        self.read_names.append(file.name)
        if file.name not in self.bodies:
            raise FileGoneError("it is not there any more")
        return self.bodies[file.name]

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        return await self._take(file, sha256, self.removed)

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        return await self._take(file, sha256, self.quarantined)

    async def close(self) -> None:
        pass

    async def _take(self, file: StoredFile, sha256: str, taken: list[str]) -> tuple[str, ...]:
        await self.point("before removal")
        if file.name not in self.bodies:
            raise FileGoneError("it is not there any more")
        if sha256_of(self.bodies[file.name]) != sha256:
            raise FileChangedError("it has changed")
        del self.bodies[file.name]
        taken.append(file.name)
        await self.point("after removal")
        return (file.name,)


def answer(word: str) -> Answer:
    """What the service answers: a verdict, or why there is none."""
    verdict = Verdict(word) if word in set(Verdict) else None
    return Answer(
        verdict=verdict,
        reason="policy" if verdict else word,
        rule="a-rule" if verdict is Verdict.REJECT else None,
        message=f"{word}.",
        request_id="r-1",
        elapsed_ms=1.0,
    )


class WordScanner:
    """Answers by the first word of the bytes; ``accept`` where there is no such word."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.point: Callable[[str], Awaitable[None]] = lambda _: asyncio.sleep(0)
        self.error: Exception | None = None
        self.failures = 0

    async def scan(self, body: bytes, of_source: str = UNNAMED_SOURCE) -> Answer:
        self.bodies.append(body)
        await self.point("scan")
        if self.error is not None and self.failures > 0:
            self.failures -= 1
            raise self.error
        return answer(body.decode().partition(" ")[0])


class MemoryJournal:
    """The calls of :class:`ScanJournal` that a run makes. ``before_add`` may raise."""

    def __init__(self) -> None:
        self.by_name: dict[str, FileRecord] = {}
        self.before_add: Callable[[Sequence[FileRecord]], None] = lambda _: None

    def known(self, files: Sequence[StoredFile], since: datetime | None = None) -> Mapping[str, FileOutcome]:
        found = {each.name: self.by_name.get(each.name) for each in files}
        return {
            each.name: record.outcome
            for each in files
            if (record := found[each.name]) is not None
            and record.file.version == each.version
            and (since is None or record.scanned_at >= since)
        }

    def add(self, records: Sequence[FileRecord]) -> None:
        if records:
            self.before_add(records)
            self.by_name |= {each.file.name: each for each in records}

    @property
    def outcomes(self) -> dict[str, FileOutcome]:
        return {name: record.outcome for name, record in self.by_name.items()}


@dataclass
class ScanBench:
    """A store, what scans it, and what is known of it."""

    source: MemorySource
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    scanner: WordScanner = field(default_factory=WordScanner)
    audit: MemoryLedger = field(default_factory=MemoryLedger)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    slept_s: list[float] = field(default_factory=list)
    noted: list[FileRecord] = field(default_factory=list)

    def removal(self, most_a_day: int = 100, how: OnReject = OnReject.PURGE) -> Removal:
        return Removal(self.source, QuotaOfPurges(self.audit, "alice", most_a_day, lambda: NOON), how)

    def scan(self, disposal: Disposal | None = None, terms: Terms | None = None) -> StorageScan:
        async def sleep(wait_s: float) -> None:
            self.slept_s.append(wait_s)
            await asyncio.sleep(0)

        return StorageScan(
            self.source,
            cast("ScanJournal", self.journal),
            self.scanner,
            disposal or Report(),
            terms or Terms(max_body_bytes=1_000),
            wall_clock=lambda: NOON,
            sleep=sleep,
        )

    async def run(
        self, disposal: Disposal | None = None, terms: Terms | None = None, wanted: Wanted = EVERYTHING
    ) -> StorageScan:
        scan = self.scan(disposal, terms)
        await scan.run(wanted, self.stop, self.noted.append)
        return scan

    @property
    def counts(self) -> Counter[FileOutcome]:
        return Counter(self.journal.outcomes.values())


def bench_of(*bodies: str) -> ScanBench:
    """A store of files 00, 01, … with these bytes."""
    return ScanBench(MemorySource({f"{number:02}": body.encode() for number, body in enumerate(bodies)}))
