"""A listing that comes in parts, as it is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from serve_app.storage.scan.source import MOST_LISTED, StoredFile, Wanted
from serve_app.storage.scan.stores.ordering import in_order


async def in_parts(
    found: AsyncGenerator[Sequence[StoredFile], None], wanted: Wanted
) -> AsyncIterator[Sequence[StoredFile]]:
    """The files of ``found`` that are wanted, in order, in parts of at most :data:`MOST_LISTED`.

    Newest first all of them are in memory before the first one is known.
    """
    kept = list[StoredFile]()
    async with contextlib.aclosing(found):
        async for part in found:
            files = list(filter(wanted.has, part))
            if wanted.is_newest_first:
                kept += files
                continue
            for files_at_once in _cut(files):
                yield files_at_once
    for files_at_once in _cut(list(in_order(kept, wanted))):
        yield files_at_once


async def counted(parts: AsyncIterator[Sequence[StoredFile]]) -> int:
    """How many files there are."""
    return sum([len(part) async for part in parts])


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it lies in, is hidden; steps up, which a key of S3 may have, hide nothing."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _cut(files: Sequence[StoredFile]) -> Iterator[Sequence[StoredFile]]:
    return (files[start : start + MOST_LISTED] for start in range(0, len(files), MOST_LISTED))
