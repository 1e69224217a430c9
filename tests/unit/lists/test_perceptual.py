"""Every hash within 31 bits is found, and no other: a scan of all of them is the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.lists import bands
from serve_app.lists.perceptual import BandedSearch, LinearSearch, Near, sort_into_bands


def _banded(hashes: NDArray[np.uint64]) -> BandedSearch:
    order = np.zeros(bands.BAND_COUNT * len(hashes), dtype=np.uint32)
    starts = np.zeros(int(bands.FIRST_BUCKETS[-1]) + 1, dtype=np.uint32)
    sort_into_bands(hashes, order, starts)
    return BandedSearch(hashes, order, starts)


def _pairs(near: Near) -> set[tuple[int, int, int]]:
    pairs = list(zip(near.queries.tolist(), near.hashes.tolist(), near.distances_bits.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def _oracle(hashes: NDArray[np.uint64], queries: NDArray[np.uint64]) -> set[tuple[int, int, int]]:
    numbers, asked = ([int.from_bytes(each.tobytes(), "little") for each in group] for group in (hashes, queries))
    return {
        (query, place, (one ^ other).bit_count())
        for query, one in enumerate(asked)
        for place, other in enumerate(numbers)
        if (one ^ other).bit_count() <= 31
    }


def _flipped(word: NDArray[np.uint64], bits: NDArray[np.intp]) -> NDArray[np.uint64]:
    octets = np.unpackbits(word.view(np.uint8))
    octets[bits] ^= 1
    return np.packbits(octets).view(np.uint64)


@st.composite
def _hashes_and_queries(draw: st.DrawFn) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Few origins, copies of them with up to 40 flipped bits, which lie anywhere or crowd into some bands."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    origins = rng.integers(0, 2**64, (draw(st.integers(1, 4)), 4), dtype=np.uint64, endpoint=False)
    reach = draw(st.sampled_from([40, 64, 128, 256]))
    first = draw(st.integers(0, 256 - reach))

    def copies(count: int) -> NDArray[np.uint64]:
        return np.stack(
            [
                _flipped(origins[rng.integers(len(origins))], first + rng.choice(reach, rng.integers(0, 41), False))
                for _ in range(count)
            ]
        )

    return copies(draw(st.integers(1, 60))), copies(draw(st.integers(1, 9)))


@given(_hashes_and_queries())
@settings(deadline=None, max_examples=60)
def test_bands_and_scan_find_what_comparing_every_pair_finds(
    given: tuple[NDArray[np.uint64], NDArray[np.uint64]],
) -> None:
    hashes, queries = given
    expected = _oracle(hashes, queries)
    assert _pairs(_banded(hashes).near(queries)) == expected
    assert _pairs(LinearSearch(hashes).near(queries)) == expected


def test_a_neighbour_is_found_among_many_hashes_whatever_its_31_bits_are() -> None:
    rng = np.random.default_rng(14)
    hashes = rng.integers(0, 2**64, (20_000, 4), dtype=np.uint64)
    search = _banded(hashes)
    for place in range(0, 400, 8):
        near = np.stack([_flipped(hashes[place + each], rng.choice(256, 31, False)) for each in range(8)])
        assert _pairs(search.near(near)) == {(each, place + each, 31) for each in range(8)}
        too_far = np.stack([_flipped(hashes[place + each], rng.choice(256, 32, False)) for each in range(8)])
        assert _pairs(search.near(too_far)) == set()


@pytest.mark.parametrize("crowded_bits", [slice(0, 20), slice(0, 40), slice(100, 200), slice(0, 250)])
def test_hashes_that_crowd_some_bands_are_found(crowded_bits: slice) -> None:
    rng = np.random.default_rng(15)
    bits = rng.integers(0, 2, (3_000, 256), dtype=np.uint8)
    bits[:, crowded_bits] = bits[0, crowded_bits]
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    queries = np.stack([_flipped(hashes[place], rng.choice(256, 20, False)) for place in range(8)])
    assert _pairs(_banded(hashes).near(queries)) == _pairs(LinearSearch(hashes).near(queries)) != set()


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_the_chosen_rings_add_up_and_hold_the_fewest_entries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = rng.integers(0, 10 ** rng.integers(1, 6), (3, bands.BAND_COUNT, bands.RINGS))
    rings = bands.choose_rings(entries)
    assert (rings.sum(axis=1) == bands.NEEDED_RINGS).all()
    assert ((rings >= 0) & (rings <= bands.RINGS)).all()
    for each in range(3):
        looked_at = sum(entries[each, band, : rings[each, band]].sum() for band in range(bands.BAND_COUNT))
        assert looked_at == _fewest(entries[each])


def _fewest(entries: NDArray[np.int64]) -> int:
    """By trying every way to reach each sum of rings."""
    fewest = {0: 0}
    for band in entries:
        reached: dict[int, int] = {}
        for so_far, looked_at in fewest.items():
            for rings in range(bands.RINGS + 1):
                total = looked_at + int(band[:rings].sum())
                reached[so_far + rings] = min(total, reached.get(so_far + rings, total))
        fewest = reached
    return fewest[bands.NEEDED_RINGS]


def test_the_bands_cover_every_bit_once() -> None:
    every_bit = np.packbits(np.eye(256, dtype=np.uint8), axis=1).view(np.uint64)
    values = bands.band_values(every_bit)
    assert (np.bitwise_count(values).sum(axis=1) == 1).all()
    assert [int(each) for each in np.bitwise_or.reduce(values)] == [(1 << width) - 1 for width in bands.WIDTHS]
