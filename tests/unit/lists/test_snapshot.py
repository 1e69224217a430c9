"""What the lists decide, beside an oracle that compares every entry with every frame."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import FrameFingerprint
from serve_app.domain.canary import CANARY_BANK, CANARY_PDQ, CANARY_REASON
from serve_app.domain.lists import Bank, Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists import Origin, PartitionBuilder, Snapshot, open_partition, partition_of, write_partition
from serve_app.lists.digests import digests_of

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
BANKS = {bank.name: bank for bank in (Bank("ours"), Bank("theirs"), Bank("trial", is_shadow=True))}
ORIGIN = bytes.fromhex("f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22")


def entry(entry_id: int, kind: ListKind, fingerprint: Fingerprint, bank: str = "ours") -> ListEntry:
    return ListEntry(id=entry_id, kind=kind, fingerprint=fingerprint, bank=bank, reason="a reason", added_at=NOW)


def flipped(digest: bytes, bits: int, first: int = 0) -> bytes:
    """``digest`` with ``bits`` bits changed, from bit ``first`` on."""
    mask = sum(1 << (first + each) % 256 for each in range(bits))
    return (int.from_bytes(digest, "big") ^ mask).to_bytes(len(digest), "big")


def frame(*hashes: bytes, number: int = 0, quality: int = 100) -> FrameFingerprint:
    # What is not named resembles nothing: hashes of a random kind.
    fill = [hashlib.sha256(f"{number} {each}".encode()).digest() for each in range(8 - len(hashes))]
    return FrameFingerprint(number, quality, b"".join([*hashes, *fill]))


def pdq(digest: bytes, quality: int | None = 100) -> Fingerprint:
    return Fingerprint(FingerprintType.PDQ, digest, quality)


def snapshot(*entries: ListEntry) -> Snapshot:
    return Snapshot(1, BANKS, partition_of([]), partition_of(entries))


_entries = st.builds(
    lambda kind, bits, first, bank, quality, expires, suspended: replace(
        entry(0, kind, pdq(flipped(ORIGIN, bits, first), quality), bank),
        expires_at=None if expires is None else NOW + timedelta(seconds=expires),
        suspended_at=NOW if suspended else None,
    ),
    st.sampled_from(ListKind),
    st.integers(0, 40),
    st.integers(0, 255),
    st.sampled_from(["ours", "theirs", "trial"]),
    st.sampled_from([None, 0, 49, 50, 100]),
    st.sampled_from([None, -10, 10]),
    st.sampled_from([False, False, False, True]),
)
_frames = st.lists(
    st.builds(
        lambda symmetry, bits, first, quality: (symmetry, flipped(ORIGIN, bits, first), quality),
        st.integers(0, 7),
        st.integers(0, 40),
        st.integers(0, 255),
        st.sampled_from([0, 49, 50, 50, 100]),
    ),
    min_size=1,
    max_size=3,
)


def _frames_of(drawn: Sequence[tuple[int, bytes, int]]) -> list[FrameFingerprint]:
    frames = []
    for number, (symmetry, digest, quality) in enumerate(drawn):
        hashes = [frame(number=number).hashes[each : each + 32] for each in range(0, 256, 32)]
        hashes[symmetry] = digest
        frames.append(FrameFingerprint(number, quality, b"".join(hashes)))
    return frames


def _in_reach(one: ListEntry, asked: FrameFingerprint) -> list[int]:
    """The distances at which ``one`` matches ``asked``."""
    quality = one.fingerprint.quality
    if asked.quality < 50 or (quality is not None and quality < 50) or one.suspended_at is not None:
        return []
    if one.expires_at is not None and one.expires_at <= NOW:
        return []
    ours = int.from_bytes(one.fingerprint.digest, "big")
    distances = [(ours ^ int.from_bytes(asked.hashes[at : at + 32], "big")).bit_count() for at in range(0, 256, 32)]
    return [each for each in distances if each <= (31 if one.kind is ListKind.DENY else 8)]


def _oracle(entries: Sequence[ListEntry], frames: Sequence[FrameFingerprint]) -> ListKind | None:
    decided = []
    for asked in frames:
        near = [
            (distance, one.kind is ListKind.ALLOW)
            for one in entries
            if not BANKS[one.bank].is_shadow
            for distance in _in_reach(one, asked)
        ]
        decided.append(min(near)[1] if near else None)
    if False in decided:
        return ListKind.DENY
    return ListKind.ALLOW if all(decided) else None


@given(st.lists(_entries, max_size=8), st.integers(0, 8), _frames)
@settings(deadline=None, max_examples=400)
def test_the_nearest_entry_decides_and_shadows_only_match(
    drawn: list[ListEntry], in_base: int, drawn_frames: list[tuple[int, bytes, int]]
) -> None:
    entries = [replace(each, id=number) for number, each in enumerate(drawn)]
    frames = _frames_of(drawn_frames)
    found = Snapshot(1, BANKS, partition_of(entries[:in_base]), partition_of(entries[in_base:])).nearest(frames, NOW)
    expected = _oracle(entries, frames)
    assert (found.deciding.entry.kind if found.deciding else None) == expected
    if found.deciding is not None:
        decided_by = entries[found.deciding.entry.id]
        asked = frames[found.deciding.frame or 0]
        assert found.deciding.distance_bits == min(_in_reach(decided_by, asked))
        assert not BANKS[decided_by.bank].is_shadow
    shadow_distances = [
        distance for one in entries if BANKS[one.bank].is_shadow for each in frames for distance in _in_reach(one, each)
    ]
    assert [match.distance_bits for match in found.shadow] == ([min(shadow_distances)] if shadow_distances else [])


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_or_mirrored_copy_is_found_and_named(symmetry: int) -> None:
    lists = snapshot(entry(1, ListKind.DENY, pdq(ORIGIN)))
    found = lists.nearest(_frames_of([(symmetry, flipped(ORIGIN, 31), 50)]), NOW).deciding
    assert found is not None
    assert (found.distance_bits, found.symmetry, found.frame) == (31, symmetry, 0)


def test_of_two_entries_as_near_the_one_that_denies_decides() -> None:
    lists = snapshot(entry(1, ListKind.ALLOW, pdq(ORIGIN)), entry(2, ListKind.DENY, pdq(ORIGIN)))
    found = lists.nearest([frame(ORIGIN)], NOW).deciding
    assert found is not None
    assert found.entry.kind is ListKind.DENY


def test_a_nearer_allow_entry_overrules_a_deny_entry() -> None:
    lists = snapshot(entry(1, ListKind.DENY, pdq(flipped(ORIGIN, 2))), entry(2, ListKind.ALLOW, pdq(ORIGIN)))
    found = lists.nearest([frame(ORIGIN)], NOW).deciding
    assert found is not None
    assert found.entry.id == 2


def test_one_allowed_frame_lets_no_other_frame_through() -> None:
    lists = snapshot(entry(1, ListKind.ALLOW, pdq(ORIGIN)))
    assert lists.nearest([frame(ORIGIN), frame(number=1)], NOW).deciding is None
    assert lists.nearest([frame(ORIGIN), frame(ORIGIN, number=1, quality=49)], NOW).deciding is None
    assert lists.nearest([frame(ORIGIN), frame(ORIGIN, number=1)], NOW).deciding is not None


def test_one_denied_frame_denies_the_picture() -> None:
    lists = snapshot(entry(1, ListKind.ALLOW, pdq(ORIGIN)), entry(2, ListKind.DENY, pdq(frame(number=1).pdq)))
    found = lists.nearest([frame(ORIGIN), frame(number=1), frame(number=2)], NOW).deciding
    assert found is not None
    assert (found.entry.id, found.frame) == (2, 1)


CONTENT = b"the bytes of a picture"


def _exact(type_: FingerprintType, content: bytes = CONTENT) -> Fingerprint:
    return Fingerprint(type_, hashlib.new(type_, content, usedforsecurity=False).digest())


def _ask(lists: Snapshot, content: bytes = CONTENT) -> ListEntry | None:
    digests = {FingerprintType.SHA256: hashlib.sha256(content).digest(), **digests_of(content, lists.other_digests)}
    found = lists.exact(digests, NOW).deciding
    return None if found is None else entry(found.entry.id, found.entry.kind, _exact(found.type, content))


@pytest.mark.parametrize("type_", [FingerprintType.SHA256, FingerprintType.SHA1, FingerprintType.MD5])
def test_a_body_is_known_by_each_digest(type_: FingerprintType) -> None:
    denied = entry(7, ListKind.DENY, _exact(type_))
    others = [entry(n, ListKind.DENY, _exact(type_, b"%d" % n)) for n in range(100, 200)]
    lists = snapshot(*others[:50], denied, *others[50:])
    assert _ask(lists) == denied
    assert _ask(lists, b"other bytes") is None
    assert lists.other_digests == (() if type_ is FingerprintType.SHA256 else (type_,))


@given(st.permutations(range(3)), st.sampled_from(FingerprintType))
def test_an_exact_deny_entry_goes_before_an_exact_allow_entry(order: list[int], type_: FingerprintType) -> None:
    type_ = FingerprintType.SHA256 if type_ is FingerprintType.PDQ else type_
    entries = [
        entry(order[0], ListKind.ALLOW, _exact(FingerprintType.SHA256)),
        entry(order[1], ListKind.DENY, _exact(type_)),
        entry(order[2], ListKind.DENY, _exact(FingerprintType.SHA256), "trial"),
    ]
    lists = Snapshot(1, BANKS, partition_of(entries[:1]), partition_of(entries[1:]))
    assert _ask(lists) == entries[1]


def test_entries_whose_digests_begin_alike_are_told_apart() -> None:
    known = hashlib.sha256(CONTENT).digest()
    alike = [Fingerprint(FingerprintType.SHA256, known[:8] + bytes([n]) * 24) for n in (255, 0, 128)]
    lists = snapshot(
        *[entry(n, ListKind.DENY, each) for n, each in enumerate(alike)],
        entry(9, ListKind.DENY, _exact(FingerprintType.SHA256)),
    )
    found = _ask(lists)
    assert found is not None
    assert found.id == 9


def test_a_changed_entry_hides_the_one_in_the_base() -> None:
    old = entry(1, ListKind.DENY, _exact(FingerprintType.SHA256))
    removed = Snapshot(2, BANKS, partition_of([old]), partition_of([]), removed_from_base=[1])
    assert _ask(removed) is None
    changed = replace(old, kind=ListKind.ALLOW)
    assert _ask(Snapshot(3, BANKS, partition_of([old]), partition_of([changed]), [1])) == changed


@pytest.mark.parametrize("count", [0, 1, 9000])
def test_a_mapped_partition_answers_like_the_one_in_memory(tmp_path: Path, count: int) -> None:
    entries = [
        entry(n, ListKind.DENY, pdq(hashlib.sha256(b"%d" % n).digest()), "ours" if n % 2 else "theirs")
        for n in range(count)
    ]
    entries += [replace(each, id=each.id + count, reason="another Grund: ü") for each in entries[:5]]
    builder = PartitionBuilder()
    for each in entries:
        builder.add(each)
    path = tmp_path / "lists.index"
    write_partition(builder, Origin("a store", 41), BANKS.values(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["lists.index"]
    opened = open_partition(path)
    mapped = opened.partition
    assert (opened.origin, opened.banks) == (Origin("a store", 41), BANKS)
    assert len(mapped) == len(entries)
    lists = Snapshot(41, BANKS, mapped, partition_of([]))
    for each in entries[: count : max(1, count // 50)]:
        found = lists.nearest([frame(flipped(each.fingerprint.digest, 30, 100))], NOW).deciding
        assert found is not None
        assert (found.entry.id, found.entry.bank, found.distance_bits) == (each.id, each.bank, 30)


def test_the_canary_is_denied_whatever_the_lists_hold() -> None:
    of_the_canary = [frame(flipped(CANARY_PDQ, 20))]
    mine = entry(1, ListKind.ALLOW, pdq(flipped(CANARY_PDQ, 20)))
    for lists in (
        snapshot(),
        snapshot(mine),
        Snapshot(2, {CANARY_BANK: Bank(CANARY_BANK, is_shadow=True)}, partition_of([]), partition_of([])),
        Snapshot(3, BANKS, partition_of([mine]), partition_of([]), [0, 1]),
    ):
        found = lists.nearest(of_the_canary, NOW).deciding
        assert found is not None
        assert (found.entry.bank, found.entry.reason, found.distance_bits) == (CANARY_BANK, CANARY_REASON, 20)
    assert not snapshot().is_nearest_slow
    assert snapshot(mine).is_nearest_slow


def test_lists_may_be_restricted_to_banks_and_the_canary() -> None:
    digest = hashlib.sha256(b"x").digest()
    exact = Fingerprint(FingerprintType.SHA256, digest)
    entries = [
        entry(1, ListKind.DENY, exact, "ours"),
        entry(2, ListKind.ALLOW, pdq(ORIGIN), "theirs"),
        entry(3, ListKind.DENY, pdq(ORIGIN), "trial"),
    ]
    lists = Snapshot(1, BANKS, partition_of(entries[:2]), partition_of(entries[2:]))
    frames = [frame(ORIGIN)]
    for banks, of_bytes, of_frames, shadows in (
        (None, "ours", "theirs", ["trial"]),
        ({"ours"}, "ours", None, []),
        ({"theirs", "trial"}, None, "theirs", ["trial"]),
        (set(), None, None, []),
    ):
        restricted = lists.restricted_to(banks)
        exactly = restricted.exact({FingerprintType.SHA256: digest}, NOW).deciding
        nearly = restricted.nearest(frames, NOW)
        assert (exactly.entry.bank if exactly else None) == of_bytes
        assert (nearly.deciding.entry.bank if nearly.deciding else None) == of_frames
        assert [match.entry.bank for match in nearly.shadow] == shadows
        canary = restricted.nearest([frame(CANARY_PDQ)], NOW).deciding
        assert canary is not None
        assert canary.entry.bank == CANARY_BANK
        assert restricted.banks == lists.banks


@given(st.sets(st.sampled_from(["ours", "theirs", "trial"])), st.lists(_entries, max_size=12))
def test_restricted_lists_are_lists_without_the_other_banks(banks: set[str], entries: list[ListEntry]) -> None:
    numbered = [replace(each, id=number) for number, each in enumerate(entries, start=1)]
    restricted = snapshot(*numbered).restricted_to(banks).nearest([frame(ORIGIN)], NOW)
    assert restricted == snapshot(*(each for each in numbered if each.bank in banks)).nearest([frame(ORIGIN)], NOW)
