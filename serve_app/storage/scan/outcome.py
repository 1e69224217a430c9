"""What becomes of a file of a store."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from serve_app.storage.scan.source import StoredFile


class FileOutcome(enum.StrEnum):
    """What became of a file, in the order in which people are told."""

    ACCEPTED = "accepted"
    """Scanned; it stays."""
    FLAGGED = "flagged"
    """Scanned; it stays, and a person should look."""
    REJECTED = "rejected"
    """Scanned and rejected; it is still there."""
    PURGED = "purged"
    """Scanned, rejected, and removed."""
    QUARANTINED = "quarantined"
    """Scanned, rejected, and taken away from everybody."""
    UNSCANNABLE = "unscannable"
    """No scan can do better: it stays, whatever is to be done with rejected ones."""
    TOO_LARGE = "too_large"
    """Above the limits of the service, which may be raised: it stays as well."""
    UNREADABLE = "unreadable"
    """The store has it, and does not give its bytes."""
    GONE = "gone"
    """It was listed, and is not there any more."""
    LATER = "later"
    """Not scanned this time."""

    @property
    def word(self) -> str:
        """For people."""
        return self.replace("_", " ")

    @property
    def is_final(self) -> bool:
        """Whether a later run need not look at the file again, unless it changes."""
        return self in (FileOutcome.ACCEPTED, FileOutcome.FLAGGED, FileOutcome.UNSCANNABLE)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the journal has of a file.

    Attributes:
        file: as it was listed.
        outcome: what became of it.
        scanned_at: when.
        why: the outcome for people; empty where it was accepted.
        sha256: of the bytes that were read, if they were.
        request_id: of the decision, if there was one.
    """

    file: StoredFile
    outcome: FileOutcome
    scanned_at: datetime
    why: str = ""
    sha256: str | None = None
    request_id: str | None = None
