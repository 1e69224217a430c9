"""The order of a listing, where the store has none that is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from serve_app.storage.scan.source import StoredFile, Wanted

_EVER = datetime.min.replace(tzinfo=UTC)


def in_order(files: Iterable[StoredFile], wanted: Wanted) -> Iterator[StoredFile]:
    """``files`` as they come, or newest first: then all of them are in memory before the first one is known."""
    return iter(sorted(files, key=_age, reverse=True)) if wanted.is_newest_first else iter(files)


def _age(file: StoredFile) -> datetime:
    return file.modified_at or _EVER
