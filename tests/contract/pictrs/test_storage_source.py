"""The pictures of pict-rs as a store that is scanned: over a stand-in, and over a real pict-rs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import pytest

from serve_app.domain import FileChangedError, FileGoneError, TooLargeError
from serve_app.domain.lists import Fingerprint, FingerprintType
from serve_app.ledger import MemoryLedger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.hash_list import QUARANTINED_BANK, HashList
from serve_app.storage.scan.stores.in_pictrs import PictrsSource
from tests.contract.pictrs.conftest import Pictrs, a_moment_later

MAX_BYTES = 1_000_000


def new_body() -> bytes:
    return os.urandom(3000)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def source_of(pictrs: Pictrs, hash_list: HashList | None = None) -> PictrsSource:
    return PictrsSource(pictrs.client, pictrs.url, hash_list)


async def listed(source: PictrsSource, wanted: Wanted | None = None) -> Sequence[StoredFile]:
    return [file async for part in source.files(wanted or Wanted()) for file in part]


async def stored(pictrs: Pictrs, body: bytes) -> StoredFile:
    await pictrs.store(body)
    file, *_ = await listed(source_of(pictrs))
    assert file.name.startswith(sha256(body))
    return file


async def test_files_are_hashes_with_their_aliases_and_the_newest_is_the_first(pictrs: Pictrs) -> None:
    bodies = [new_body() for _ in range(120)]
    aliases = {body: [await pictrs.store(body)] for body in bodies}
    aliases[bodies[0]].append(await pictrs.store(bodies[0]))
    files = await listed(source_of(pictrs))
    assert len({file.name for file in files}) == len(files)
    for file, body in zip(files, reversed(bodies), strict=False):
        assert (file.name[:64], file.size_bytes) == (sha256(body), len(body))
        assert set(file.aliases) == set(aliases[body])


async def test_only_what_was_stored_since_a_moment_is_listed(pictrs: Pictrs) -> None:
    await pictrs.store(new_body())
    since, bodies = a_moment_later(), [new_body(), new_body()]
    for body in bodies:
        await pictrs.store(body)
    found = [file.name[:64] for file in await listed(source_of(pictrs), Wanted(since=since))]
    assert found == [sha256(body) for body in reversed(bodies)]


async def test_the_bytes_are_those_that_were_stored(pictrs: Pictrs) -> None:
    body, source = new_body(), source_of(pictrs)
    file = await stored(pictrs, body)
    assert await source.read(file, MAX_BYTES) == body
    with pytest.raises(TooLargeError, match="3000 bytes"):
        await source.read(file, 2999)


async def test_a_picture_is_removed_with_all_its_aliases_once(pictrs: Pictrs) -> None:
    body, source = new_body(), source_of(pictrs)
    file = await stored(pictrs, body)
    another = await pictrs.store(body)
    assert set(await source.remove(file, sha256(body))) == {*file.aliases, another}
    with pytest.raises(FileGoneError):
        await source.read(file, MAX_BYTES)
    with pytest.raises(FileGoneError):
        await source.remove(file, sha256(body))


async def test_other_bytes_than_those_that_were_scanned_are_not_removed(pictrs: Pictrs) -> None:
    body, store = new_body(), MemoryListStore()
    source = source_of(pictrs, HashList(MemoryLedger(), store, "alice"))
    file = await stored(pictrs, body)
    for remove in (source.remove, source.quarantine):
        with pytest.raises(FileChangedError):
            await remove(file, sha256(b"another picture"))
    assert await source.read(file, MAX_BYTES) == body
    assert not store.banks()


async def test_a_quarantined_picture_is_denied_and_then_purged(pictrs: Pictrs) -> None:
    body, store = new_body(), MemoryListStore()
    source = source_of(pictrs, HashList(MemoryLedger(), store, "alice"))
    file = await stored(pictrs, body)
    assert await source.quarantine(file, sha256(body)) == file.aliases
    (entry,) = store.find(Fingerprint(FingerprintType.SHA256, bytes.fromhex(sha256(body))))
    assert (entry.kind, entry.bank, entry.author) == ("deny", QUARANTINED_BANK, "alice")
    assert entry.reason == f"quarantined by a scan of pictrs:{pictrs.url}"
    with pytest.raises(FileGoneError):
        await source.read(file, MAX_BYTES)
