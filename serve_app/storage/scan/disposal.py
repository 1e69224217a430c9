"""What is done with a picture that is rejected: nothing, unless it is asked for, and never more than the quota."""

from __future__ import annotations

import enum
from functools import partial
from typing import Protocol

from serve_app.domain import FileChangedError, FileGoneError
from serve_app.purges import Doomed, QuotaOfPurges
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.source import Source, StoredFile


class OnReject(enum.StrEnum):
    """What is done with rejected pictures."""

    REPORT = "report"
    LEMMY = "lemmy"
    QUARANTINE = "quarantine"
    PURGE = "purge"


class QuotaUsedUpError(Exception):
    """Today no more may be purged."""


class Disposal(Protocol):
    """What is done with a rejected picture."""

    def is_final(self, file: StoredFile) -> bool:
        """Whether a file that an earlier run rejected need not be scanned again: nothing more would be done with it."""
        ...

    def may_remove(self, file: StoredFile) -> bool:
        """Whether :meth:`dispose` may take the file away."""
        ...

    async def dispose(self, file: StoredFile, sha256: str, why: str) -> tuple[FileOutcome, str]:
        """Do it; what became of the file, and what else people should know. ``why`` is the rule, or the list.

        Raises:
            QuotaUsedUpError: not today.
            StorageError: see :class:`~serve_app.storage.scan.source.Source`.
        """
        ...


class Report:
    """Rejected pictures stay where they are."""

    def is_final(self, file: StoredFile) -> bool:
        """See the port."""
        del file
        return True

    def may_remove(self, file: StoredFile) -> bool:
        """See the port."""
        del file
        return False

    async def dispose(self, file: StoredFile, sha256: str, why: str) -> tuple[FileOutcome, str]:
        """See the port."""
        del file, sha256, why
        return FileOutcome.REJECTED, ""


class Removal:
    """Rejected pictures are purged or quarantined within the quota of the day, if they still are what was scanned."""

    def __init__(self, source: Source, quota: QuotaOfPurges, how: OnReject) -> None:
        self._source = source
        self._quota = quota
        self._is_quarantine = how is OnReject.QUARANTINE

    def is_final(self, file: StoredFile) -> bool:
        """See the port."""
        del file
        return False

    def may_remove(self, file: StoredFile) -> bool:
        """See the port."""
        del file
        return True

    async def dispose(self, file: StoredFile, sha256: str, why: str) -> tuple[FileOutcome, str]:
        """See the port."""
        doomed = Doomed(sha256, file.size_bytes, file.aliases or (file.name,), self._source.audit_name)
        remove = self._source.quarantine if self._is_quarantine else self._source.remove
        word = "quarantine" if self._is_quarantine else "scan"
        try:
            removed = await self._quota.purge(doomed, f"storage {word}: {why}", partial(remove, file, sha256))
        except FileGoneError as error:
            return FileOutcome.GONE, str(error)
        except FileChangedError as error:
            return FileOutcome.LATER, str(error)
        if removed is None:
            raise QuotaUsedUpError
        return (FileOutcome.QUARANTINED if self._is_quarantine else FileOutcome.PURGED), ""
