"""Writes records to the journal from an event loop, many at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from serve_app.storage.scan.outcome import FileRecord

if TYPE_CHECKING:
    from serve_app.storage.scan.journal import ScanJournal

_AT_ONCE: Final = 200
_EVERY_S: Final = 1.0


class JournalWriter:
    """Collects records, and has threads write them. A record that a failure or a cancellation stopped is kept."""

    def __init__(self, journal: ScanJournal) -> None:
        self._journal = journal
        self._unwritten: list[FileRecord] = []

    async def add(self, record: FileRecord) -> None:
        """Write it soon; where many wait, all of them before this returns.

        Raises:
            UnavailableError: the journal cannot be written.
        """
        self._unwritten.append(record)
        if len(self._unwritten) >= _AT_ONCE:
            await self._write()

    async def add_at_once(self, record: FileRecord) -> None:
        """Write it before this returns.

        Raises:
            UnavailableError: the journal cannot be written.
        """
        await asyncio.to_thread(self._journal.add, [record])

    async def keep_writing(self, is_over: asyncio.Event) -> None:
        """Write what waits, every second, until ``is_over``; :meth:`write_rest` comes after it.

        Raises:
            UnavailableError: the journal cannot be written.
        """
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await is_over.wait()
            await self._write()

    def write_rest(self) -> None:
        """Write what still waits. It holds the event loop up, so that no cancellation can end it half way.

        Raises:
            UnavailableError: the journal cannot be written.
        """
        self._journal.add(self._unwritten)
        self._unwritten = []

    async def _write(self) -> None:
        if records := self._unwritten:
            self._unwritten = []
            try:
                await asyncio.to_thread(self._journal.add, records)
            except BaseException:
                # Whether they were written is not known; to write them twice does no harm.
                self._unwritten = records + self._unwritten
                raise
