"""Accepted pictures that the lists deny today are found in each database, and nobody else is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from serve_app.database.location import Location
from serve_app.domain import Decision, FrameFingerprint, Lane, SettingsError, Unscanned, UnscannedReason, Verdict
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListKind, Match
from serve_app.ledger.sql import SqlLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.opening import open_list_store
from serve_app.pictrs import may_store
from serve_app.storage import Pace, Suspect, sought_entries, suspects
from tests.contract.conftest import Made, patient_ledger

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HASH = bytes(range(32))


class Bench:
    """A ledger and lists in one database."""

    def __init__(self, ledger: SqlLedger, lists: LiveLists, made: Made) -> None:
        self.ledger = ledger
        self.lists = lists
        self.pictrs_source: str | None = None
        self._made = made

    async def record(self, number: int, digest: bytes = HASH, quality: int = 100, **changed: Any) -> Decision:
        """A decision on a picture of its own, with one frame of this PDQ."""
        decision = self._made.decision(number, sha256=f"{number:064x}")
        assert decision.examination is not None
        frame = FrameFingerprint(0, quality, digest + bytes(range(1, 225)))
        seen = replace(decision.examination, fingerprints=(frame,))
        recorded = replace(decision, **{"examination": seen, **changed})
        await self.ledger.record(recorded)
        return recorded

    def deny(self, digest: bytes = HASH, bank: str = "banned", kind: ListKind = ListKind.DENY) -> int:
        fingerprint = Fingerprint(FingerprintType.PDQ, digest)
        return self.add(EntryDraft(kind=kind, fingerprint=fingerprint, bank=bank, reason="a reason"))

    def add(self, draft: EntryDraft) -> int:
        (entry,) = self.lists.store.add([draft]).first_ids
        self.lists.refresh()
        return entry

    async def hunt(self, bank: str | None = None, since_version: int = 0) -> list[Suspect]:
        sought = sought_entries(self.lists, bank, since_version)
        lists, is_stored = self.lists, partial(may_store, self.pictrs_source)
        found = suspects(self.ledger, self.ledger.bodies, sought, lambda _: lists.snapshot, is_stored, NOW, Pace())
        return [each async for each in found]

    async def hunted(self, bank: str | None = None, since_version: int = 0) -> list[str]:
        return sorted(each.recorded.decision.request_id for each in await self.hunt(bank, since_version))


@pytest.fixture
async def bench(location: Location, made: Made) -> AsyncIterator[Bench]:
    lists = LiveLists(open_list_store(location))
    with contextlib.closing(patient_ledger(location)) as ledger, contextlib.closing(lists):
        yield Bench(ledger, lists, made)


def flipped(bits: int) -> bytes:
    return (int.from_bytes(HASH, "big") ^ ((1 << bits) - 1)).to_bytes(32, "big")


async def test_what_an_entry_denies_now_is_found_with_that_entry(bench: Bench) -> None:
    await bench.record(1)
    await bench.record(2, flipped(31))
    await bench.record(3, flipped(32))
    await bench.record(4, quality=49)
    entry = bench.deny()
    found = {each.recorded.decision.request_id: each.cause for each in await bench.hunt()}
    assert {name: (each.entry.id, each.distance_bits) for name, each in found.items() if isinstance(each, Match)} == {
        "r-1": (entry, 0),
        "r-2": (entry, 31),
    }


async def test_a_sha256_finds_one_file(bench: Bench) -> None:
    for number in (1, 2):
        await bench.record(number, flipped(number))
    digest = bytes.fromhex(f"{2:064x}")
    fingerprint = Fingerprint(FingerprintType.SHA256, digest)
    bench.add(EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="banned", reason="a reason"))
    assert await bench.hunted() == ["r-2"]


@pytest.mark.parametrize(
    "changed",
    [
        lambda made: {"kept": False, "outcome": made.judged(Verdict.REJECT)},
        lambda made: {"kept": True, "outcome": Unscanned(UnscannedReason.OVERLOADED, "full"), "examination": None},
    ],
    ids=["rejected", "never examined"],
)
async def test_what_was_not_accepted_by_what_it_shows_is_not_found(
    bench: Bench, made: Made, changed: Callable[[Made], dict[str, Any]]
) -> None:
    await bench.record(1, **changed(made))
    bench.deny()
    assert await bench.hunted() == []


async def test_a_decision_of_the_background_lane_is_told_where_there_is_no_other(bench: Bench, made: Made) -> None:
    first = await bench.record(1, lane=Lane.BACKGROUND)
    bench.deny()
    assert await bench.hunted() == ["r-1"]
    for number, lane in ((2, Lane.LIVE), (3, Lane.BACKGROUND)):
        at = made.decision(number).decided_at
        await bench.ledger.record(replace(first, request_id=f"r-{number}", decided_at=at, lane=lane))
    assert await bench.hunted() == ["r-2"]


async def test_of_bytes_of_two_sources_the_picture_that_pict_rs_may_have_is_told(bench: Bench, made: Made) -> None:
    first = await bench.record(1, source="own")
    later = replace(first, request_id="r-2", decided_at=made.decision(2).decided_at, source="other")
    await bench.ledger.record(later)
    bench.deny()
    assert await bench.hunted() == ["r-2"]
    bench.pictrs_source = "own"
    assert await bench.hunted() == ["r-1"]


async def test_of_each_body_the_newest_decision_that_let_it_through_is_told(bench: Bench, made: Made) -> None:
    first = await bench.record(1)
    for number, kept in ((2, True), (3, False)):
        await bench.ledger.record(
            replace(first, request_id=f"r-{number}", decided_at=made.decision(number).decided_at, kept=kept)
        )
    bench.deny()
    assert await bench.hunted() == ["r-2"]


async def test_what_was_refused_often_since_is_found_all_the_same(bench: Bench, made: Made) -> None:
    first = await bench.record(1)
    for number in range(2, 110):
        again = made.decision(number)
        await bench.ledger.record(replace(first, request_id=again.request_id, decided_at=again.decided_at, kept=False))
    bench.deny()
    assert await bench.hunted() == ["r-1"]


async def test_an_entry_that_allows_a_picture_protects_it(bench: Bench) -> None:
    for number, bits in ((1, 8), (2, 20)):
        await bench.record(number, flipped(bits))
    bench.deny()
    bench.deny(flipped(8), "allowed", ListKind.ALLOW)
    assert await bench.hunted() == ["r-2"]


async def test_what_another_decision_has_seen_of_a_picture_counts_for_each_on_it(bench: Bench, made: Made) -> None:
    unscanned: dict[str, Any] = {"outcome": Unscanned(UnscannedReason.OVERLOADED, "full"), "labels": ()}
    for number, bits in ((1, 8), (2, 20)):
        seen = await bench.record(number, flipped(bits), kept=False)
        at = made.decision(number - 1).decided_at
        earlier = replace(seen, request_id=f"u-{number}", decided_at=at, kept=True, examination=None, **unscanned)
        await bench.ledger.record(earlier)
    bench.deny()
    assert await bench.hunted() == ["u-1", "u-2"]
    bench.deny(flipped(8), "allowed", ListKind.ALLOW)
    assert await bench.hunted() == ["u-2"]


async def test_entries_of_a_shadow_bank_deny_nothing(bench: Bench) -> None:
    await bench.record(1)
    bench.lists.store.put_bank(Bank("trial", is_shadow=True))
    bench.deny(bank="trial")
    assert await bench.hunted() == []


async def test_a_bank_or_what_is_new_is_looked_for_alone(bench: Bench) -> None:
    await bench.record(1)
    await bench.record(2, bytes(32)[:31] + b"\xff")
    bench.deny()
    version = bench.lists.snapshot.version
    bench.deny(bytes(32)[:31] + b"\xff", "community")
    assert await bench.hunted() == ["r-1", "r-2"]
    assert await bench.hunted(since_version=version) == ["r-2"]
    assert await bench.hunted(bank="banned") == ["r-1"]
    with pytest.raises(SettingsError, match="no bank nothing"):
        await bench.hunted(bank="nothing")
