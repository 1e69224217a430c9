"""Where the files of a store lie in truth: what a test puts there, and what it finds there afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from serve_app.storage.scan.source import Source, StoredFile, Wanted
from serve_app.storage.scan.stores.opening import open_source

QUARANTINE = "kept/apart"


@dataclass(frozen=True)
class Place:
    """The files of a folder, which a source at ``url`` has too.

    Attributes:
        url: of the store.
        folder: of its files; a name of the store is a path below it.
        s3: a client by which they are written, where the store is a bucket.
        bucket: its name.
    """

    url: str
    folder: Path
    s3: Any = None
    bucket: str = ""

    @property
    def has_links(self) -> bool:
        """Whether it is a file system, with links, pipes and names that are no text."""
        return self.s3 is None

    def path(self, name: str) -> Path:
        """Of the file of this name."""
        return self.folder / name

    def put(self, name: str, body: bytes, at: datetime | None = None) -> None:
        """Write a file; it has changed at ``at``."""
        if self.s3 is None:
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_bytes(body)
        else:
            key = f"{self.folder.name}/{name}"
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        if at is not None:
            os.utime(self.path(name), (at.timestamp(), at.timestamp()))

    def body(self, name: str) -> bytes | None:
        """What lies there, if anything."""
        with contextlib.suppress(FileNotFoundError):
            return self.path(name).read_bytes()
        return None

    @contextlib.asynccontextmanager
    async def opened(self, quarantine: str | None = QUARANTINE) -> AsyncIterator[Source]:
        """The source."""
        source = open_source(self.url, quarantine)
        try:
            yield source
        finally:
            await source.close()


async def listed(source: Source, wanted: Wanted | None = None) -> list[StoredFile]:
    """All that it lists."""
    return [file async for part in source.files(wanted or Wanted()) for file in part]


async def named(source: Source, name: str) -> StoredFile:
    """The one of this name that it lists."""
    (file,) = [file for file in await listed(source) if file.name == name]
    return file
