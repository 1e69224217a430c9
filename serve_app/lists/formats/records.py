"""An entry as a record of words: a row of CSV, or an object of JSON."""

from __future__ import annotations

from serve_app.domain.lists import ListEntry

COLUMNS = ("type", "hash", "quality", "kind", "bank", "reason", "source", "author", "added_at", "expires_at")


def record_of(entry: ListEntry) -> dict[str, str]:
    """All of :data:`COLUMNS`; what an entry does not have is empty."""
    fingerprint = entry.fingerprint
    return {
        "type": fingerprint.type,
        "hash": fingerprint.digest.hex(),
        "quality": "" if fingerprint.quality is None else str(fingerprint.quality),
        "kind": entry.kind,
        "bank": entry.bank,
        "reason": entry.reason,
        "source": entry.source,
        "author": entry.author,
        "added_at": entry.added_at.isoformat(),
        "expires_at": "" if entry.expires_at is None else entry.expires_at.isoformat(),
    }
