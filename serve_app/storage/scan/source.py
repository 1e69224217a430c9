"""The port of a store: what lies in it, its bytes, and what may be done to a picture that is rejected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

MOST_LISTED: Final = 1_000
"""Files in a part of a listing."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store.

    Attributes:
        name: where it lies, below the source; bytes that are no UTF-8 are surrogates, as ``os.fsdecode`` has them.
        size_bytes: how long it was when it was listed.
        version: another text as soon as other bytes may lie under this name.
        modified_at: None where the store does not tell.
        aliases: by which others ask for it, where that is not the name.
    """

    name: str
    size_bytes: int
    version: str
    modified_at: datetime | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of a store, and in which order.

    Attributes:
        prefix: only those whose names begin with it.
        since: only those that have changed since then.
        is_newest_first: else as the store has them: by name, mostly.
    """

    prefix: str = ""
    since: datetime | None = None
    is_newest_first: bool = False

    def has(self, file: StoredFile) -> bool:
        """Whether a file is wanted."""
        is_recent = self.since is None or file.modified_at is None or file.modified_at >= self.since
        return is_recent and file.name.startswith(self.prefix)


class Source(Protocol):
    """A store. All of it is for one event loop; :meth:`close` it after use.

    Every call raises ``StorageUnavailableError`` where the store does not answer, after tries of its own, and
    ``StorageRefusedError`` where the settings or the permissions have to be changed first.
    """

    @property
    def url(self) -> str:
        """What names it to people and in the journal, without a secret; the same at each run."""
        ...

    @property
    def audit_name(self) -> str | None:
        """What names it in the audit of purges; None for pict-rs, whose purges are there in whatever way."""
        ...

    def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """What lies in it, in parts of at most :data:`MOST_LISTED`.

        Files that cannot be pictures are left out: links, devices, hidden ones, what was quarantined. A folder that
        cannot be listed is a file of that name, whose reading says why.
        """
        ...

    async def count(self, wanted: Wanted) -> int | None:
        """How many files :meth:`files` has; None where that would cost as much as to scan them."""
        ...

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        """Its bytes.

        Raises:
            FileGoneError: it is not there any more.
            FileUnreadableError: it is there, and cannot be read; others may be.
            TooLargeError: it has more bytes.
        """
        ...

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """Remove it if its bytes still are these; the names that lead to it no more.

        Raises:
            FileGoneError: it is not there any more.
            FileChangedError: other bytes are there: nothing was done.
        """
        ...

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """Take it away from everybody, so that an admin can undo it where the store can; names as :meth:`remove`.

        Raises:
            FileGoneError: it is not there any more.
            FileChangedError: other bytes are there: nothing was done.
        """
        ...

    async def close(self) -> None:
        """End what it has started."""
        ...
