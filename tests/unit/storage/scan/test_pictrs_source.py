"""A scan of pict-rs where pict-rs, the lists or the settings fail."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

from serve_app.domain import (
    FileGoneError,
    FileUnreadableError,
    SettingsError,
    StorageRefusedError,
    StorageUnavailableError,
)
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType
from serve_app.ledger import MemoryLedger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.store import Addition
from serve_app.pictrs import API_KEY_ENV
from serve_app.pictrs.client import PAGE
from serve_app.purges import QuotaOfPurges, purges_since
from serve_app.settings import PictrsSettings
from serve_app.storage.scan.disposal import OnReject, Removal
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.hash_list import QUARANTINED_BANK, HashList
from serve_app.storage.scan.stores.in_pictrs import WALKS_IN_VAIN, PictrsSource
from serve_app.storage.scan.stores.opening import open_source
from serve_app.storage.scan.stores.tries import TRIES
from tests.contract.pictrs.conftest import open_at
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in, ticking
from tests.unit.listed_decisions import PDQ, decision
from tests.unit.storage.conftest import NOON

MAX_BYTES = 1_000
BODY = b"a picture"
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = {API_KEY_ENV: API_KEY}


class Waits(list[float]):
    """What would be waited."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with standing_in() as started:
        yield started


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
async def source(stand_in: StandIn, waits: Waits) -> AsyncIterator[PictrsSource]:
    async with open_at(stand_in.url, API_KEY) as pictrs:
        yield PictrsSource(pictrs, stand_in.url, sleep=waits)


@contextlib.asynccontextmanager
async def with_list(stand_in: StandIn, archive: MemoryLedger, store: MemoryListStore) -> AsyncIterator[PictrsSource]:
    async with open_at(stand_in.url, API_KEY) as pictrs:
        yield PictrsSource(pictrs, stand_in.url, HashList(archive, store, "alice"))


async def listed(source: PictrsSource, wanted: Wanted | None = None) -> Sequence[StoredFile]:
    return [file async for part in source.files(wanted or Wanted()) for file in part]


async def only_file(source: PictrsSource) -> StoredFile:
    (file,) = await listed(source)
    return file


def answering(times: int, stand_in: StandIn, path: str) -> Callable[[], web.StreamResponse]:
    """An answer that is given so often; then pict-rs is well again."""
    left = [times]

    def answer() -> web.StreamResponse:
        left[0] -= 1
        if left[0] <= 0:
            del stand_in.answers[path]
        return web.json_response({"code": "timeout"}, status=503)

    return answer


async def test_a_hash_that_no_alias_leads_to_cannot_be_read(stand_in: StandIn, source: PictrsSource) -> None:
    stand_in.store(BODY)
    stand_in.stored[0].aliases.clear()
    stand_in.stored[0].lingers = 9
    file = await only_file(source)
    with pytest.raises(FileUnreadableError, match="no alias leads to it"):
        await source.read(file, MAX_BYTES)
    with pytest.raises(FileGoneError):
        await source.remove(file, SHA256)


async def test_a_picture_of_which_other_bytes_come_is_unreadable_and_asked_for_once(
    stand_in: StandIn, source: PictrsSource, waits: Waits
) -> None:
    stand_in.store(BODY)
    stand_in.stored[0].body = b"short"
    with pytest.raises(FileUnreadableError, match="other bytes"):
        await source.read(await only_file(source), MAX_BYTES)
    assert waits == []


async def test_a_pict_rs_that_fails_for_a_moment_is_asked_again(
    stand_in: StandIn, source: PictrsSource, waits: Waits
) -> None:
    alias = stand_in.store(BODY)
    for path in ("/internal/hashes", f"/image/original/{alias}"):
        stand_in.answers[path] = answering(TRIES - 1, stand_in, path)
    assert await source.read(await only_file(source), MAX_BYTES) == BODY
    assert waits == [0.5, 1, 2, 4] * 2


async def test_a_pict_rs_that_goes_on_failing_is_unavailable(stand_in: StandIn, source: PictrsSource) -> None:
    alias = stand_in.store(BODY)
    file = await only_file(source)
    for path, call in (
        ("/internal/hashes", lambda: listed(source)),
        (f"/image/original/{alias}", lambda: source.read(file, MAX_BYTES)),
        ("/internal/purge", lambda: source.remove(file, SHA256)),
    ):
        stand_in.answers[path] = answering(99, stand_in, path)
        with pytest.raises(StorageUnavailableError, match="503 timeout"):
            await call()
        del stand_in.answers[path]


async def test_a_wrong_key_is_refused(stand_in: StandIn, source: PictrsSource) -> None:
    stand_in.api_key = "another"
    with pytest.raises(StorageRefusedError, match="refuses the key"):
        await listed(source)


class Purging:
    """Others, who purge the two pages before a place far in the list and that place, when it is asked for."""

    def __init__(self, stand_in: StandIn, most: int) -> None:
        self.stand_in, self.left = stand_in, most

    def page(self, slug: str | None, before: datetime | None, limit: int) -> dict[str, Any]:
        newest_first = list(reversed(self.stand_in.stored))
        asked = next((at for at, each in enumerate(newest_first) if each.slug == slug), 0)
        if asked >= 4 * PAGE and self.left:
            self.left -= 1
            kept = newest_first[: asked - 2 * PAGE] + newest_first[asked + 1 :]
            self.stand_in.stored = list(reversed(kept))
        return StandIn.page(self.stand_in, slug, before, limit)


async def test_a_listing_that_loses_its_place_begins_again_and_leaves_nothing_out(
    stand_in: StandIn, source: PictrsSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.clock = ticking(NOON)
    for number in range(6 * PAGE):
        stand_in.store(b"picture %d" % number)
    others = Purging(stand_in, 1)
    monkeypatch.setattr(stand_in, "page", others.page)
    names = [file.name for file in await listed(source)]
    assert others.left == 0, "the place was lost"
    assert {each.name.hex() for each in stand_in.stored} <= set(names)
    assert len(names) - len(set(names)) == 2 * PAGE, "what is there before that place comes twice"


async def test_a_listing_that_never_comes_further_ends(
    stand_in: StandIn, source: PictrsSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.clock = ticking(NOON)
    for number in range(16 * PAGE):
        stand_in.store(b"picture %d" % number)
    others = Purging(stand_in, 99)
    monkeypatch.setattr(stand_in, "page", others.page)
    with pytest.raises(StorageUnavailableError, match="the place is lost"):
        await listed(source)
    assert others.left == 99 - 1 - WALKS_IN_VAIN, "the first walk has come as far as all others"


async def test_pict_rs_has_no_folders(source: PictrsSource) -> None:
    with pytest.raises(SettingsError, match=r"no folders.*leave it out"):
        await listed(source, Wanted(prefix="2026/"))


async def test_a_purge_is_in_the_audit_as_all_others_of_pict_rs(stand_in: StandIn, source: PictrsSource) -> None:
    alias, audit = stand_in.store(BODY), MemoryLedger()
    removal = Removal(source, QuotaOfPurges(audit, "alice", 1, lambda: NOON), OnReject.PURGE)
    assert await removal.dispose(await only_file(source), SHA256, "triangles") == (FileOutcome.PURGED, "")
    (purge,) = await purges_since(audit, NOON)
    assert (purge.sha256, purge.store, purge.aliases, purge.purged) == (SHA256, None, (alias,), (alias,))
    assert purge.why == "storage scan: triangles"
    assert stand_in.stored == []


async def test_a_quarantined_picture_is_denied_by_what_it_looks_like_where_the_ledger_knows(stand_in: StandIn) -> None:
    stand_in.store(BODY)
    archive, store = MemoryLedger(), MemoryListStore()
    await archive.record(decision("r-1", BODY))
    async with with_list(stand_in, archive, store) as source:
        await source.quarantine(await only_file(source), SHA256)
    denied = [Fingerprint(FingerprintType.SHA256, bytes.fromhex(SHA256)), Fingerprint(FingerprintType.PDQ, PDQ)]
    assert [entry.bank for each in denied for entry in store.find(each)] == [QUARANTINED_BANK] * 2
    assert stand_in.stored == []


async def test_a_picture_is_purged_by_a_quarantine_only_once_it_is_denied(stand_in: StandIn) -> None:
    class Down(MemoryListStore):
        def add(self, drafts: Iterable[EntryDraft]) -> Addition:
            raise ConnectionError

    stand_in.store(BODY)
    async with with_list(stand_in, MemoryLedger(), Down()) as source:
        with pytest.raises(StorageUnavailableError, match="no list could take it"):
            await source.quarantine(await only_file(source), SHA256)
    assert len(stand_in.stored) == 1


async def test_without_a_list_nothing_is_quarantined(stand_in: StandIn, source: PictrsSource) -> None:
    stand_in.store(BODY)
    with pytest.raises(StorageRefusedError, match="no list"):
        await source.quarantine(await only_file(source), SHA256)
    assert len(stand_in.stored) == 1


@pytest.mark.parametrize("named", ["pictrs:", "pictrs:{url}", "pictrs:{url}/"])
async def test_the_configured_pict_rs_needs_no_address(stand_in: StandIn, named: str) -> None:
    stand_in.store(BODY)
    configured = PictrsSettings(url=stand_in.url if named == "pictrs:" else "http://127.0.0.1:1")
    source = open_source(named.format(url=stand_in.url), pictrs=configured, environment=KEY)
    try:
        assert source.url == f"pictrs:{stand_in.url}"
        assert [len(part) async for part in source.files(Wanted())] == [1]
        assert await source.count(Wanted()) is None
    finally:
        await source.close()


@pytest.mark.parametrize(
    ("named", "quarantine", "environment", "said"),
    [
        ("pictrs:", None, KEY, r"pictrs\.url is not set"),
        ("pictrs:http://127.0.0.1", None, {}, f"set {API_KEY_ENV}"),
        ("pictrs:127.0.0.1:8080", None, KEY, "its form is pictrs:http://HOST:PORT"),
        ("pictrs:http://127.0.0.1", "kept", KEY, "no folder for a quarantine"),
    ],
)
async def test_what_cannot_be_opened_is_said(
    named: str, quarantine: str | None, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        open_source(named, quarantine, environment=environment)
