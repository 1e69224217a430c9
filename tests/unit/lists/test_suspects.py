"""Of many bodies at once: whoever an entry decides about is among the suspects, however they are searched for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import FrameFingerprint
from serve_app.domain.lists import Fingerprint, FingerprintType, ListKind
from serve_app.lists import Snapshot
from serve_app.lists.bands import as_words
from serve_app.lists.partition import _MAX_COMPARED_WITH_ALL
from tests.unit.lists.test_snapshot import NOW, ORIGIN, entry, flipped, frame, pdq, snapshot


@dataclass(frozen=True)
class Picture:
    """What the ledger knows of a body."""

    sha256: bytes
    frames: Sequence[FrameFingerprint]

    def is_known(self, lists: Snapshot) -> bool:
        exact = lists.exact({FingerprintType.SHA256: self.sha256}, NOW)
        return any(each.deciding or each.shadow for each in (exact, lists.nearest(self.frames, NOW)))


def picture(number: int, *hashes: bytes) -> Picture:
    return Picture(hashlib.sha256(str(number).encode()).digest(), [frame(*hashes, number=number)])


def suspects(lists: Snapshot, pictures: Sequence[Picture]) -> list[int]:
    frames = [(body, each) for body, picture in enumerate(pictures) for each in picture.frames]
    found: list[int] = lists.suspects(
        np.frombuffer(b"".join(each.sha256 for each in pictures), np.uint8).reshape(-1, 32),
        as_words(b"".join(each.hashes for _, each in frames)),
        np.repeat([body for body, _ in frames], 8).astype(np.intp),
    ).tolist()
    return found


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255), st.sampled_from(ListKind)), max_size=6),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), min_size=1, max_size=9),
    st.sets(st.integers(0, 8), max_size=3),
)
def test_everybody_about_whom_the_lists_decide_is_a_suspect(
    listed: list[tuple[int, int, ListKind]], seen: list[tuple[int, int]], by_bytes: set[int]
) -> None:
    pictures = [picture(number, flipped(ORIGIN, bits, first)) for number, (bits, first) in enumerate(seen)]
    entries = [entry(1 + at, kind, pdq(flipped(ORIGIN, bits, first))) for at, (bits, first, kind) in enumerate(listed)]
    exact = [Fingerprint(FingerprintType.SHA256, picture(number).sha256) for number in sorted(by_bytes)]
    entries += [entry(100 + at, ListKind.DENY, each) for at, each in enumerate(exact)]
    lists = snapshot(*entries)
    found = suspects(lists, pictures)
    assert found == sorted(set(found))
    assert {number for number, each in enumerate(pictures) if each.is_known(lists)} <= set(found)


@pytest.mark.parametrize("others", [0, _MAX_COMPARED_WITH_ALL + 40, 9000])
def test_few_entries_and_many_find_the_same(others: int) -> None:
    rng = np.random.default_rng(others)
    random = [rng.bytes(32) for _ in range(others)]
    pictures = [picture(number, flipped(ORIGIN, 20 + number)) for number in range(200)]
    lists = snapshot(
        entry(1, ListKind.DENY, pdq(ORIGIN)),
        *(entry(2 + at, ListKind.DENY, pdq(each)) for at, each in enumerate(random)),
    )
    assert suspects(lists, pictures) == list(range(12)), "up to 31 bits"


def test_who_nobody_lists_is_none() -> None:
    assert suspects(snapshot(), [picture(1), picture(2)]) == []
