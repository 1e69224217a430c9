"""The storage of a server software: a cached file goes with the versions made from it, and nothing else does."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from serve_app.domain import FileChangedError, FileUnreadableError, TooLargeError
from serve_app.ledger import MemoryLedger
from serve_app.purges import QuotaOfPurges, purges_since
from serve_app.storage.layouts import LAYOUTS
from serve_app.storage.scan.disposal import OnReject, Removal, Report
from serve_app.storage.scan.of_software import SoftwareDisposal, SoftwareSource
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.source import StoredFile, Wanted
from tests.unit.storage.scan.fakes import MemorySource, ScanBench

MASTODON = LAYOUTS["mastodon"]
CACHED = "cache/media_attachments/files/109/000/000/000/000/001"
UPLOADED = "media_attachments/files/109/000/000/000/000/002"


class Store:
    """A store in memory; reading a file of ``faults`` raises."""

    url = audit_name = "file:/store"

    def __init__(self, *names: str) -> None:
        self.bodies = {name: name.encode() for name in names}
        self.faults: dict[str, Exception] = {}
        self.stuck: set[str] = set()

    async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        listed = (StoredFile(name, len(body), "1") for name, body in sorted(self.bodies.items()))
        for file in list(filter(wanted.has, listed)):
            yield [file]

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        del max_bytes
        if file.name in self.faults:
            raise self.faults[file.name]
        return self.bodies[file.name]

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        if file.name in self.stuck:
            raise FileUnreadableError("Read-only file system")
        assert hashlib.sha256(self.bodies.pop(file.name)).hexdigest() == sha256
        return (file.name,)


def source_of(store: Store) -> SoftwareSource:
    return SoftwareSource(store, MASTODON)  # type: ignore[arg-type]


async def remove(store: Store, name: str) -> tuple[str, ...]:
    body = store.bodies[name]
    return await source_of(store).remove(StoredFile(name, len(body), "1"), hashlib.sha256(body).hexdigest())


@pytest.fixture
def store() -> Store:
    names = (f"{place}/{style}/a.png" for place in (CACHED, UPLOADED) for style in ("original", "small"))
    return Store(*names, "backups/dumps/000/000/001/original/all.zip")


async def test_originals_and_cached_files_are_listed(store: Store) -> None:
    listed = [each.name async for part in source_of(store).files(Wanted()) for each in part]
    assert listed == [f"{CACHED}/original/a.png", f"{UPLOADED}/original/a.png"]
    assert await source_of(store).count(Wanted()) == 2


async def test_a_cached_file_goes_with_what_was_made_from_it(store: Store) -> None:
    removed = await remove(store, f"{CACHED}/original/a.png")
    assert set(removed) == {f"{CACHED}/original/a.png", f"{CACHED}/small/a.png"}
    assert len(store.bodies) == 3


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(FileUnreadableError("broken"), FileUnreadableError), (TooLargeError("it grows"), FileChangedError)],
)
async def test_where_a_version_cannot_be_removed_the_file_stays_for_the_next_run(
    store: Store, fault: Exception, raised: type[Exception]
) -> None:
    store.faults[f"{CACHED}/small/a.png"] = fault
    with pytest.raises(raised):
        await remove(store, f"{CACHED}/original/a.png")
    assert f"{CACHED}/original/a.png" in store.bodies


async def test_where_the_file_has_changed_its_versions_stay(store: Store) -> None:
    file = StoredFile(f"{CACHED}/original/a.png", len(store.bodies[f"{CACHED}/original/a.png"]), "1")
    before = dict(store.bodies)
    with pytest.raises(FileChangedError):
        await source_of(store).remove(file, "ab" * 32)
    assert store.bodies == before


async def test_the_audit_names_what_was_removed_before_a_failure(store: Store) -> None:
    name = f"{CACHED}/original/a.png"
    store.stuck.add(name)
    audit, noon = MemoryLedger(), datetime(2026, 11, 26, 12, tzinfo=UTC)
    removal = Removal(source_of(store), QuotaOfPurges(audit, "alice", 9, lambda: noon), OnReject.PURGE)
    with pytest.raises(FileUnreadableError):
        await removal.dispose(StoredFile(name, len(name), "1"), hashlib.sha256(name.encode()).hexdigest(), "no-red")
    (purge,) = await purges_since(audit, noon)
    assert (purge.purged, purge.problem) == (
        (),
        f"Read-only file system; removed before that: {CACHED}/small/a.png",
    )


@pytest.mark.parametrize("place", [CACHED, UPLOADED])
async def test_the_command_of_the_software_is_told_with_what_stays(place: str) -> None:
    file = StoredFile(f"{place}/original/a.png", 1, "1")
    outcome, how = await SoftwareDisposal(Report(), MASTODON).dispose(file, "ab" * 32, "no-red")
    assert outcome is FileOutcome.REJECTED
    assert how.startswith("Mastodon: `tootctl media ")


async def test_what_the_software_has_to_remove_is_told_once_and_no_removal_of_it_begins() -> None:
    cached, uploaded = f"{CACHED}/original/a.png", f"{UPLOADED}/original/a.png"
    bench = ScanBench(MemorySource({cached: b"reject 1", uploaded: b"reject 2"}))
    rows: list[tuple[str, FileOutcome]] = []
    bench.journal.before_add = lambda records: rows.extend((each.file.name, each.outcome) for each in records)
    for _ in range(2):
        await bench.run(SoftwareDisposal(bench.removal(), MASTODON))
    assert (bench.source.removed, sorted(bench.scanner.bodies)) == ([cached], [b"reject 1", b"reject 2"])
    assert {outcome for name, outcome in rows if name == uploaded} == {FileOutcome.REJECTED}
