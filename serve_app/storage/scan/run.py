"""One run over a store: list, read ahead, have each picture scanned, do with it what was asked for, and note it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from serve_app.domain import (
    FileGoneError,
    FileUnreadableError,
    StorageUnavailableError,
    TooLargeError,
    UnavailableError,
    Verdict,
)
from serve_app.storage.rescan import Scanner
from serve_app.storage.scan.disposal import Disposal, QuotaUsedUpError
from serve_app.storage.scan.memory import Room
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.source import Source, StoredFile, Wanted
from serve_app.wire import STATUS_BY_REASON, Answer

if TYPE_CHECKING:
    from serve_app.storage.scan.journal import ScanJournal

TRIES: Final = 5
"""How often a picture is sent that cannot be scanned for now; between tries 1, 2, 4 and 8 s pass."""

MOST_IN_VAIN: Final = 16
"""Files in a row that were left for later: the run ends, because the service or the store does nothing."""

_NOTED_AT_ONCE = 200
_NOTED_EVERY_S = 1.0

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
        read_ahead_bytes: how many bytes of files are in memory at once; a larger file is read alone.
        is_again: whether files that are done are scanned again.
    """

    max_body_bytes: int
    at_once: int = 4
    read_ahead_bytes: int = 128 * 1024 * 1024
    is_again: bool = False


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
        self._scanner = scanner
        self._disposal = disposal
        self._terms = terms
        self._room = Room(terms.read_ahead_bytes)
        self._scanning = asyncio.Semaphore(terms.at_once)
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._in_vain = 0
        self._unwritten: list[FileRecord] = []
        self.progress = progress or Progress()

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
        writing = asyncio.create_task(self._keep_writing(is_over))
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(work()) for _ in range(2 * self._terms.at_once)]
                await self._list(wanted, stop, files)
                for _ in workers:
                    await files.put(None)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        finally:
            is_over.set()
            await writing

    async def _list(self, wanted: Wanted, stop: asyncio.Event, files: asyncio.Queue[StoredFile | None]) -> None:
        async for part in self._source.files(wanted):
            known = {} if self._terms.is_again else await asyncio.to_thread(self._journal.known, part)
            for file in part:
                if stop.is_set():
                    return
                outcome = known.get(file.name)
                if outcome is not None and self._is_done(outcome):
                    self.progress.skipped[outcome] += 1
                else:
                    await files.put(file)

    def _is_done(self, outcome: FileOutcome) -> bool:
        return outcome.is_final or (outcome is FileOutcome.REJECTED and self._disposal.is_final)

    async def _do(self, file: StoredFile, stop: asyncio.Event, note: Callable[[FileRecord], None]) -> None:
        if stop.is_set():
            return
        async with self._room.taken(min(file.size_bytes, self._terms.max_body_bytes)):
            try:
                record = await self._scanned(file, stop)
            except QuotaUsedUpError:
                self.progress.is_quota_used_up = True
                stop.set()
                record = self._record(file, FileOutcome.REJECTED, "today's quota of purges is used up")
        self._in_vain = self._in_vain + 1 if record.outcome is FileOutcome.LATER else 0
        self.progress.done[record.outcome] += 1
        self._unwritten.append(record)
        if len(self._unwritten) >= _NOTED_AT_ONCE:
            await self._write()
        note(record)
        if self._in_vain >= MOST_IN_VAIN and not stop.is_set():
            stop.set()
            raise UnavailableError(f"{self._in_vain} files in a row could not be scanned ({record.why})")

    async def _scanned(self, file: StoredFile, stop: asyncio.Event) -> FileRecord:
        try:
            body = await self._source.read(file, self._terms.max_body_bytes)
        except FileGoneError as error:
            return self._record(file, FileOutcome.GONE, str(error))
        except FileUnreadableError as error:
            return self._record(file, FileOutcome.UNREADABLE, str(error))
        except TooLargeError as error:
            return self._record(file, FileOutcome.UNSCANNABLE, str(error))
        except StorageUnavailableError as error:
            return self._record(file, FileOutcome.LATER, str(error))
        if not body:
            return self._record(file, FileOutcome.UNSCANNABLE, "it is empty")
        async with self._scanning:
            answer = await self._answer(body, stop)
        self.progress.scanned_bytes += len(body)
        outcome, why = _outcome_of(answer), answer.message
        sha256 = answer.sha256
        if outcome is FileOutcome.REJECTED:
            sha256 = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
            outcome, why = await self._dispose(file, sha256, answer)
        why = "" if outcome is FileOutcome.ACCEPTED else why
        return self._record(file, outcome, why, sha256, answer.request_id)

    async def _answer(self, body: bytes, stop: asyncio.Event) -> Answer:
        wait_s = 1.0
        for _ in range(TRIES - 1):
            answer = await self._scanner.scan(body)
            if _outcome_of(answer) is not FileOutcome.LATER or stop.is_set():
                return answer
            await self._sleep(wait_s)
            wait_s *= 2
        return await self._scanner.scan(body)

    async def _dispose(self, file: StoredFile, sha256: str, answer: Answer) -> tuple[FileOutcome, str]:
        try:
            outcome, more = await self._disposal.dispose(file, sha256, answer.rule or answer.reason)
        except StorageUnavailableError as error:
            return FileOutcome.REJECTED, f"{answer.message} It could not be removed: {error}"
        except FileUnreadableError as error:
            return FileOutcome.REJECTED, f"{answer.message} It could not be removed: {error}"
        return outcome, f"{answer.message} {more}".rstrip()

    def _record(
        self,
        file: StoredFile,
        outcome: FileOutcome,
        why: str = "",
        sha256: str | None = None,
        request_id: str | None = None,
    ) -> FileRecord:
        return FileRecord(file, outcome, self._wall_clock(), why, sha256, request_id)

    async def _keep_writing(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_NOTED_EVERY_S):
                    await is_over.wait()
            await self._write()

    async def _write(self) -> None:
        if records := self._unwritten:
            self._unwritten = []
            await asyncio.to_thread(self._journal.add, records)


def _outcome_of(answer: Answer) -> FileOutcome:
    match answer.verdict:
        case Verdict.ACCEPT:
            return FileOutcome.ACCEPTED
        case Verdict.FLAG:
            return FileOutcome.FLAGGED
        case Verdict.REJECT:
            return FileOutcome.REJECTED
    return FileOutcome.UNSCANNABLE if answer.reason in _UNSCANNABLE else FileOutcome.LATER
