"""A store that belongs to a server software: its originals are scanned, and only what it treats as cache is removed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from serve_app.domain import FileChangedError, FileGoneError, StorageError, TooLargeError
from serve_app.domain.storable_text import printable
from serve_app.storage.layouts import FileRole, Layout
from serve_app.storage.scan.disposal import Disposal
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.source import Source, StoredFile, Wanted

_SCANNED = (FileRole.ORIGINAL, FileRole.CACHE)


class SoftwareSource:
    """:class:`~serve_app.storage.scan.source.Source` of the files that are worth a scan by themselves."""

    def __init__(self, source: Source, layout: Layout) -> None:
        self._source = source
        self._layout = layout

    @property
    def url(self) -> str:
        """See the port."""
        return self._source.url

    @property
    def audit_name(self) -> str | None:
        """See the port."""
        return self._source.audit_name

    async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """See the port."""
        async for part in self._source.files(wanted):
            yield [each for each in part if self._layout.classify(each.name) in _SCANNED]

    async def count(self, wanted: Wanted) -> int | None:
        """See the port."""
        count = 0
        async for part in self.files(wanted):
            count += len(part)
        return count

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        """See the port."""
        return await self._source.read(file, max_bytes)

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port. Versions that the software made from a cached file go before it: what fails is tried again."""
        return await self._with_derived(file, sha256, self._source.remove)

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port. Versions that the software made from a cached file are removed."""
        return await self._with_derived(file, sha256, self._source.quarantine)

    async def close(self) -> None:
        """See the port."""
        await self._source.close()

    async def _with_derived(
        self, file: StoredFile, sha256: str, take: Callable[[StoredFile, str], Awaitable[tuple[str, ...]]]
    ) -> tuple[str, ...]:
        """Take the file away after the versions made from it; an error names those that were removed before it."""
        prefixes = self._layout.siblings(file.name)
        if prefixes and await self._digest(file) != sha256:
            raise FileChangedError("it has changed since it was scanned: the next run scans it again")
        removed: list[str] = []
        try:
            for prefix in prefixes:
                async for part in self._source.files(Wanted(prefix=prefix)):
                    for each in part:
                        with contextlib.suppress(FileGoneError):
                            removed += await self._source.remove(each, await self._digest(each))
            return await take(file, sha256) + tuple(removed)
        except StorageError as error:
            if not removed:
                raise
            raise type(error)(f"{error}; removed before that: {printable(', '.join(removed))}") from error

    async def _digest(self, file: StoredFile) -> str:
        try:
            body = await self._source.read(file, file.size_bytes)
        except TooLargeError as error:
            raise FileChangedError(f"{file.name} has changed since it was listed") from error
        return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()


class SoftwareDisposal:
    """Has what the software treats as cache removed; of all else, tells which command of the software removes it."""

    def __init__(self, disposal: Disposal, layout: Layout) -> None:
        """``disposal`` is what is done with cached files."""
        self._disposal = disposal
        self._layout = layout

    def is_final(self, file: StoredFile) -> bool:
        """See the port."""
        return not self._is_cached(file) or self._disposal.is_final(file)

    def may_remove(self, file: StoredFile) -> bool:
        """See the port."""
        return self._is_cached(file) and self._disposal.may_remove(file)

    async def dispose(self, file: StoredFile, sha256: str, why: str) -> tuple[FileOutcome, str]:
        """See the port."""
        how = f"{self._layout.software}: {self._layout.removal(file.name)}"
        if not self._is_cached(file):
            return FileOutcome.REJECTED, how
        outcome, more = await self._disposal.dispose(file, sha256, why)
        return outcome, f"{more} {how}".strip() if outcome is FileOutcome.REJECTED else more

    def _is_cached(self, file: StoredFile) -> bool:
        return self._layout.classify(file.name) is FileRole.CACHE
