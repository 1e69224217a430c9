"""One run over a store: list, read ahead, have each picture scanned, do with it what was asked for, and note it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Final

from serve_app.domain import (
    FileGoneError,
    FileUnreadableError,
    StorageUnavailableError,
    TooLargeError,
    UnavailableError,
    UnscannedReason,
    Verdict,
)
from serve_app.storage.rescan import Scanner
from serve_app.storage.scan.disposal import Disposal, QuotaUsedUpError
from serve_app.storage.scan.journal_writer import JournalWriter
from serve_app.storage.scan.memory import Room
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.places import Places
from serve_app.storage.scan.source import Source, StoredFile, Wanted
from serve_app.wire import STATUS_BY_REASON, Answer

if TYPE_CHECKING:
    from serve_app.storage.scan.journal import ScanJournal

TRIES: Final = 5
"""How often a picture is sent that cannot be scanned for now; between tries 1, 2, 4 and 8 s pass."""

MOST_IN_VAIN: Final = 16
"""Files in a row that were left for later, without those that take too long by themselves: the run ends, because the
service or the store does nothing."""

_REMOVAL_BEGUN = "its removal began, and the run ended meanwhile: `pictwarden purges` says how far it came"

_UNSCANNABLE = {reason.value for reason, status in STATUS_BY_REASON.items() if status != 503}


@dataclass
class Progress:
    """What a run has done so far.

    Attributes:
        done: files of this run, by outcome.
        skipped: files that an earlier run has done, by outcome.
        scanned_bytes: of the files that were scanned.
        is_quota_used_up: the run ended because nothing more may be purged today.
    """

    done: Counter[FileOutcome] = field(default_factory=Counter)
    skipped: Counter[FileOutcome] = field(default_factory=Counter)
    scanned_bytes: int = 0
    is_quota_used_up: bool = False

    @property
    def files(self) -> int:
        """All of both kinds."""
        return self.done.total() + self.skipped.total()


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run goes about it.

    Attributes:
        max_body_bytes: the service's limit.
        at_once: how many files are scanned at once; as many more are read ahead.
        small_together: of them, how many small ones that wait begin together.
        read_ahead_bytes: how many bytes of files are in memory at once; a larger file is read alone.
        again_before: files that were done before this are scanned again.
        limit: no more than so many files; those that are done do not count.
    """

    max_body_bytes: int
    at_once: int = 10
    small_together: int = 1
    read_ahead_bytes: int = 128 * 1024 * 1024
    again_before: datetime | None = None
    limit: int | None = None

    def after(self, progress: Progress) -> Terms:
        """Those of a further run of the same command: what the ones before it have done counts to the limit."""
        return self if self.limit is None else replace(self, limit=max(0, self.limit - progress.done.total()))


class StorageScan:
    """Scans the files of a store, and keeps its journal."""

    def __init__(
        self,
        source: Source,
        journal: ScanJournal,
        scanner: Scanner,
        disposal: Disposal,
        terms: Terms,
        progress: Progress | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Make a run.

        Args:
            source: the store.
            journal: of this store.
            scanner: the service, or an engine of the command's own.
            disposal: what is done with rejected pictures.
            terms: how it is gone about.
            progress: of earlier runs, which this one adds to.
            wall_clock: for the journal.
            sleep: between tries.
        """
        self._source = source
        self._journal = journal
        self._writer = JournalWriter(journal)
        self._scanner = scanner
        self._disposal = disposal
        self._terms = terms
        self._room = Room(terms.read_ahead_bytes)
        self._places = Places(terms.at_once, terms.small_together)
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._in_vain = 0
        self.progress = progress or Progress()
        self.listing_s = 0.0
        """How long the run has waited for the store to list its files."""

    async def run(
        self, wanted: Wanted, stop: asyncio.Event, note: Callable[[FileRecord], None] = lambda record: None
    ) -> None:
        """Scan what is wanted and not done; until ``stop``, after which what has begun is still finished.

        What is done is in the journal before this returns or raises, whatever happens.

        Args:
            wanted: which files.
            stop: ends the run. It is set where the quota of purges is used up.
            note: is told what became of each file.

        Raises:
            StorageError: the store cannot be listed, or the settings have to be changed first.
            UnavailableError: the service scans nothing.
            UnauthorisedError: the secret is wrong.
        """
        files: asyncio.Queue[StoredFile | None] = asyncio.Queue(maxsize=2 * self._terms.at_once)

        async def work() -> None:
            while (file := await files.get()) is not None:
                await self._do(file, stop, note)

        is_over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._writer.keep_writing(is_over))
                workers = [group.create_task(work()) for _ in range(2 * self._terms.at_once)]
                await self._list(wanted, stop, files)
                for _ in workers:
                    await files.put(None)
                await asyncio.wait(workers)
                is_over.set()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        finally:
            self._writer.write_rest()

    async def _list(self, wanted: Wanted, stop: asyncio.Event, files: asyncio.Queue[StoredFile | None]) -> None:
        parts = self._source.files(wanted)
        try:
            left = self._terms.limit
            began_s = perf_counter()
            async for part in parts:
                self.listing_s += perf_counter() - began_s
                known = await asyncio.to_thread(self._journal.known, part, self._terms.again_before)
                for file in part:
                    if stop.is_set() or left == 0:
                        return
                    outcome = known.get(file.name)
                    if outcome is not None and self._is_done(file, outcome):
                        self.progress.skipped[outcome] += 1
                    else:
                        left = None if left is None else left - 1
                        await files.put(file)
                began_s = perf_counter()
            self.listing_s += perf_counter() - began_s
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()  # else a later task closes it, when the source may be closed

    def _is_done(self, file: StoredFile, outcome: FileOutcome) -> bool:
        return outcome.is_final or (outcome is FileOutcome.REJECTED and self._disposal.is_final(file))

    async def _do(self, file: StoredFile, stop: asyncio.Event, note: Callable[[FileRecord], None]) -> None:
        async with self._room.taken(min(file.size_bytes, self._terms.max_body_bytes)):
            if stop.is_set():
                return
            record, rule = await self._scanned(file, stop)
        await _to_its_end(self._finish(record, rule, stop, note))

    async def _finish(
        self, record: FileRecord, rule: str, stop: asyncio.Event, note: Callable[[FileRecord], None]
    ) -> None:
        """Do with the file what was asked for, and note it."""
        if record.outcome is not FileOutcome.LATER:
            self._in_vain = 0
        elif rule != UnscannedReason.DEADLINE:  # which is the picture's own: others beside it may be fast
            self._in_vain += 1
        if record.outcome is FileOutcome.REJECTED:
            record = await self._disposed(record, rule, stop)
        self.progress.done[record.outcome] += 1
        await self._writer.add(record)
        note(record)
        if self._in_vain >= MOST_IN_VAIN and not stop.is_set():
            stop.set()
            raise UnavailableError(f"{self._in_vain} files in a row could not be scanned ({record.why})")

    async def _scanned(self, file: StoredFile, stop: asyncio.Event) -> tuple[FileRecord, str]:
        """What became of it, and by which rule."""
        try:
            body = await self._source.read(file, self._terms.max_body_bytes)
        except FileGoneError as error:
            return self._record(file, FileOutcome.GONE, str(error)), ""
        except FileUnreadableError as error:
            return self._record(file, FileOutcome.UNREADABLE, str(error)), ""
        except TooLargeError as error:
            return self._record(file, FileOutcome.TOO_LARGE, str(error)), ""
        except StorageUnavailableError as error:
            return self._record(file, FileOutcome.LATER, str(error)), ""
        if not body:
            return self._record(file, FileOutcome.UNSCANNABLE, "it is empty"), ""
        async with self._places.taken(len(body)):
            answer = await self._answer(body, stop)
        self.progress.scanned_bytes += len(body)
        outcome, sha256 = _outcome_of(answer), answer.sha256
        if outcome is FileOutcome.REJECTED:
            sha256 = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
        why = "" if outcome is FileOutcome.ACCEPTED else answer.message
        return self._record(file, outcome, why, sha256, answer.request_id), answer.rule or answer.reason

    async def _answer(self, body: bytes, stop: asyncio.Event) -> Answer:
        wait_s = 1.0
        for _ in range(TRIES - 1):
            try:
                answer = await self._scanner.scan(body)
            except UnavailableError:
                if stop.is_set():
                    raise
            else:
                if _outcome_of(answer) is not FileOutcome.LATER or stop.is_set():
                    return answer
            await self._sleep(wait_s)
            wait_s *= 2
        return await self._scanner.scan(body)

    async def _disposed(self, record: FileRecord, rule: str, stop: asyncio.Event) -> FileRecord:
        if self._disposal.may_remove(record.file):
            # Of a program that dies meanwhile the journal says neither that the file is there nor that it is not.
            await self._writer.add_at_once(replace(record, outcome=FileOutcome.LATER, why=_REMOVAL_BEGUN))
        try:
            outcome, more = await self._disposal.dispose(record.file, record.sha256 or "", rule)
        except QuotaUsedUpError:
            self.progress.is_quota_used_up = True
            stop.set()
            outcome, more = FileOutcome.REJECTED, "It was not removed: today's quota of purges is used up."
        except (StorageUnavailableError, FileUnreadableError) as error:
            outcome, more = FileOutcome.REJECTED, f"It could not be removed: {error}"
        return replace(record, outcome=outcome, why=f"{record.why} {more}".strip())

    def _record(
        self,
        file: StoredFile,
        outcome: FileOutcome,
        why: str = "",
        sha256: str | None = None,
        request_id: str | None = None,
    ) -> FileRecord:
        return FileRecord(file, outcome, self._wall_clock(), why, sha256, request_id)


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Await it. A cancellation waits for it; a second one ends it."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # else asyncio logs it as never retrieved
        raise
    finally:
        task.cancel()


def _outcome_of(answer: Answer) -> FileOutcome:
    match answer.verdict:
        case Verdict.ACCEPT:
            return FileOutcome.ACCEPTED
        case Verdict.FLAG:
            return FileOutcome.FLAGGED
        case Verdict.REJECT:
            return FileOutcome.REJECTED
    if answer.reason == UnscannedReason.TOO_LARGE:
        return FileOutcome.TOO_LARGE
    return FileOutcome.UNSCANNABLE if answer.reason in _UNSCANNABLE else FileOutcome.LATER
