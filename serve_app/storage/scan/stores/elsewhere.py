"""What stores behind a network have in common: each call is made again where there was no answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from serve_app.domain import StorageRefusedError
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.parts import counted
from serve_app.storage.scan.stores.tries import Sent, with_tries


class Session(Protocol):
    """Connections to a store."""

    async def close(self) -> None:
        """Close them."""
        ...


class StoreElsewhere(ABC):
    """:class:`~serve_app.storage.scan.source.Source`, but for one try of each call, which a kind of store gives."""

    def __init__(
        self, session: Session, quarantine: PurePosixPath | None, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        """``quarantine`` is not scanned; ``sleep`` passes the time between tries."""
        self._opened = session
        self._quarantine = None if quarantine is None else f"{quarantine}/"
        self._sleep = sleep

    @property
    @abstractmethod
    def url(self) -> str:
        """See the port."""

    @property
    def audit_name(self) -> str | None:
        """See the port."""
        return self.url

    @abstractmethod
    def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """See the port."""

    async def count(self, wanted: Wanted) -> int | None:
        """See the port."""
        return await counted(self.files(wanted))

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        """See the port."""
        return await with_tries(lambda: self._read(file, max_bytes), self._sleep)

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port."""
        sent = Sent()
        await with_tries(lambda: self._remove(file, sha256, sent), self._sleep)
        return (file.name,)

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """See the port. It keeps its name, below that of the quarantine."""
        if self._quarantine is None:
            raise StorageRefusedError("nobody has said where quarantined files go: name a folder with --quarantine")
        quarantine, sent = self._quarantine, Sent()
        await with_tries(lambda: self._move(file, sha256, quarantine, sent), self._sleep)
        return (file.name,)

    async def close(self) -> None:
        """See the port."""
        await self._opened.close()

    @abstractmethod
    async def _read(self, file: StoredFile, max_bytes: int) -> bytes:
        """Its bytes."""

    @abstractmethod
    async def _remove(self, file: StoredFile, sha256: str, sent: Sent) -> None:
        """Remove it, if its bytes still are these."""

    @abstractmethod
    async def _move(self, file: StoredFile, sha256: str, quarantine: str, sent: Sent) -> None:
        """Move it below ``quarantine``, if its bytes still are these."""
