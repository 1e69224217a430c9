"""The order of a listing, where the store has none that is wanted."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from serve_app.storage.scan.source import StoredFile, Wanted

_EVER = datetime.min.replace(tzinfo=UTC)


def in_order(files: Iterable[StoredFile], wanted: Wanted) -> Iterator[StoredFile]:
    """The first of ``files``, as they come or newest first, up to the limit.

    Newest first all of them have to be listed before the first one is known: without a limit they are in memory.
    """
    if not wanted.is_newest_first:
        return itertools.islice(files, wanted.limit)
    if wanted.limit is None:
        return iter(sorted(files, key=_age, reverse=True))
    return iter(heapq.nlargest(wanted.limit, files, key=_age))


def _age(file: StoredFile) -> datetime:
    return file.modified_at or _EVER
