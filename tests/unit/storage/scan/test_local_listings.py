"""Listings of one folder at the same time: a scan lists while it counts."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.storage.scan.source import Wanted
from serve_app.storage.scan.stores.local import LocalSource


def test_a_listing_in_the_middle_of_another_one_has_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    source, real, inner = LocalSource(tmp_path), os.scandir, list[int | None]()

    @contextlib.contextmanager
    def in_the_middle(fd: int) -> Iterator[list[os.DirEntry[str]]]:
        with real(fd) as entries:
            first = next(entries)
            if not inner:
                inner.append(None)
                inner[0] = asyncio.run(source.count(Wanted()))
            yield [first, *entries]

    async def counted() -> int | None:
        try:
            return await source.count(Wanted())
        finally:
            await source.close()

    monkeypatch.setattr(os, "scandir", in_the_middle)
    outer = asyncio.run(counted())
    assert (outer, *inner) == (3, 3)
