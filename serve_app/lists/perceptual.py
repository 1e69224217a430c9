"""Searches among PDQ hashes: every hash within 31 bits of a query, with its distance.

A search of few hashes compares all of them. A search of millions looks at the bands (:mod:`serve_app.lists.bands`).
It takes milliseconds of CPU: never call it on an event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.lists import DENY_RADIUS_BITS
from serve_app.lists import bands

_BLOCK_HASHES = 8
"""Queries whose probes are computed together: the eight symmetries of a frame."""

_SCANNED_HASHES = 16_384
"""Hashes that a scan compares at a time, so that what lies between its steps stays in the processor's cache."""

_MANY_CANDIDATES = 65_536
"""From this number on it pays to look at each candidate once, though several bands found it."""


_Found = tuple[NDArray[np.intp], NDArray[np.uint16]]
"""Indices of hashes, and their distances in bits."""


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs of a query and a hash near it, one element a pair: indices and distances in bits."""

    queries: NDArray[np.intp]
    hashes: NDArray[np.intp]
    distances_bits: NDArray[np.uint16]


class Search(Protocol):
    """A search among a fixed set of hashes."""

    def near(self, queries: NDArray[np.uint64]) -> Near:
        """Every pair within :data:`~serve_app.domain.lists.DENY_RADIUS_BITS`, each once; ``queries`` is ``(n, 4)``."""
        ...


def distances_bits(hashes: NDArray[np.uint64], query: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The Hamming distance of each of ``hashes``, ``(n, 4)``, to ``query``, ``(4,)``."""
    # The bit counts of a hash's four words, 0 to 64 in an octet each, are added within one number: a sum over an axis
    # of length four costs six times as much.
    counts: NDArray[np.uint32] = np.bitwise_count(hashes ^ query).view(np.uint32)[:, 0]
    pairs = (counts & _EVERY_OTHER_OCTET) + ((counts >> np.uint32(8)) & _EVERY_OTHER_OCTET)
    return ((pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))).astype(np.uint16)


_EVERY_OTHER_OCTET: Final = np.uint32(0x00FF00FF)


class LinearSearch:
    """Compares every hash: the right way for some ten thousand, and what a crowded query falls back to."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        """``hashes`` is ``(n, 4)``."""
        self._hashes = hashes

    def near(self, queries: NDArray[np.uint64]) -> Near:
        """See :class:`Search`."""
        if len(self._hashes) < len(queries):
            # Distances are symmetric, and each comparison of one with many costs a step in Python.
            swapped = LinearSearch(queries).near(self._hashes)
            return Near(swapped.hashes, swapped.queries, swapped.distances_bits)
        found = [self.near_one(query) for query in queries]
        return _together(found) if any(len(hashes) for hashes, _ in found) else _NONE_NEAR

    def near_one(self, query: NDArray[np.uint64]) -> _Found:
        """The indices of the hashes near ``query``, ``(4,)``, and their distances in bits."""
        found: list[_Found] = []
        for first in range(0, len(self._hashes), _SCANNED_HASHES):
            some = self._hashes[first : first + _SCANNED_HASHES]
            # Half of their bits tell nearly all others apart, which takes a quarter of the time.
            half = np.bitwise_count(some[:, 0] ^ query[0]) + np.bitwise_count(some[:, 1] ^ query[1])
            candidates = (half <= DENY_RADIUS_BITS).nonzero()[0]
            distances = distances_bits(some[candidates], query)
            hits = (distances <= DENY_RADIUS_BITS).nonzero()[0]
            found.append((candidates[hits] + first, distances[hits]))
        return found[0] if len(found) == 1 else _joined(found)


_NOTHING: _Found = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.uint16))


_NONE_NEAR = Near(np.empty(0, dtype=np.intp), *_NOTHING)


class BandedSearch:
    """Looks only at hashes that share all but a few bits of a band with the query.

    The order of the hashes in each band, and where the bucket of each value begins in it, come from
    :func:`sort_into_bands`; both may be mapped from a file.
    """

    def __init__(
        self, hashes: NDArray[np.uint64], order: NDArray[np.uint32], bucket_starts: NDArray[np.uint32]
    ) -> None:
        self._hashes = hashes
        self._order = order
        self._bucket_starts = bucket_starts
        self._linear = LinearSearch(hashes)

    def near(self, queries: NDArray[np.uint64]) -> Near:
        """See :class:`Search`."""
        found = []
        for first in range(0, len(queries), _BLOCK_HASHES):
            found += self._near_block(queries[first : first + _BLOCK_HASHES])
        return _together(found)

    def _near_block(self, queries: NDArray[np.uint64]) -> list[_Found]:
        values = bands.band_values(queries)
        buckets = (values[:, bands.PROBE_BANDS] ^ bands.PROBE_MASKS) + bands.PROBE_FIRST_BUCKETS
        starts = self._bucket_starts[buckets].astype(np.intp)
        lengths = self._bucket_starts[buckets + 1].astype(np.intp) - starts
        entries = np.add.reduceat(lengths, bands.RING_STARTS, axis=1)
        rings = bands.choose_rings(entries.reshape(len(queries), bands.BAND_COUNT, bands.RINGS))
        # An empty bucket is not looked at either.
        looked_at = (rings[:, bands.PROBE_BANDS] > bands.PROBE_RINGS) & (lengths > 0)
        return [
            self._near_one(query, starts[each][looked_at[each]], lengths[each][looked_at[each]])
            for each, query in enumerate(queries)
        ]

    def _near_one(self, query: NDArray[np.uint64], starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> _Found:
        """As :meth:`LinearSearch.near_one`, among the hashes in the buckets from ``starts`` on."""
        ends = np.cumsum(lengths)
        if not len(ends):
            return _NOTHING
        count = int(ends[-1])
        if count > len(self._hashes) // 2:
            # A scan reads the hashes in the order of memory, which is faster than half of them in any order.
            return self._linear.near_one(query)
        places = np.repeat(starts - (ends - lengths), lengths) + np.arange(count)
        candidates = self._order.take(places)
        if count > _MANY_CANDIDATES:
            candidates = self._each_once(candidates)
        distances = distances_bits(self._hashes.take(candidates, axis=0), query)
        hits = (distances <= DENY_RADIUS_BITS).nonzero()[0]
        near, first = np.unique(candidates[hits], return_index=True)
        return near.astype(np.intp), distances[hits][first]

    def _each_once(self, candidates: NDArray[np.uint32]) -> NDArray[np.uint32]:
        # Marks are faster than sorting: many candidates are a good part of all hashes.
        marks = np.zeros(len(self._hashes), dtype=np.bool_)
        marks[candidates] = True
        return marks.nonzero()[0].astype(np.uint32)


def sort_into_bands(hashes: NDArray[np.uint64], order: NDArray[np.uint32], bucket_starts: NDArray[np.uint32]) -> None:
    """Fill what a :class:`BandedSearch` over ``hashes`` needs.

    Args:
        hashes: ``(n, 4)``.
        order: receives, band after band, the indices of all hashes ordered by their value: ``(bands * n,)``.
        bucket_starts: receives where in ``order`` each value of each band begins: ``(FIRST_BUCKETS[-1] + 1,)``.

    Raises:
        ValueError: there are more hashes than 32 bits can count in all bands.
    """
    if len(order) > np.iinfo(np.uint32).max:
        raise ValueError(f"an index holds at most {np.iinfo(np.uint32).max // bands.BAND_COUNT:,} hashes")
    count = len(hashes)
    indices = np.arange(count, dtype=np.uint64)
    values = bands.band_values(hashes)
    for band, width in enumerate(bands.WIDTHS):
        # One sort of 64-bit numbers is several times faster than an argsort.
        joined = (values[:, band].astype(np.uint64) << np.uint64(32)) | indices
        joined.sort()
        order[band * count : (band + 1) * count] = joined & np.uint64(0xFFFFFFFF)
        sizes = np.bincount(values[:, band], minlength=1 << width)
        first = int(bands.FIRST_BUCKETS[band])
        bucket_starts[first] = band * count
        bucket_starts[first + 1 : first + (1 << width) + 1] = band * count + np.cumsum(sizes)


def banded(hashes: NDArray[np.uint64]) -> BandedSearch:
    """A search among ``hashes``, ``(n, 4)``, in memory. To sort a hundred thousand takes 0.2 s."""
    order = np.empty(bands.BAND_COUNT * len(hashes), dtype=np.uint32)
    bucket_starts = np.zeros(int(bands.FIRST_BUCKETS[-1]) + 1, dtype=np.uint32)
    sort_into_bands(hashes, order, bucket_starts)
    return BandedSearch(hashes, order, bucket_starts)


def _together(found: list[_Found]) -> Near:
    queries = np.repeat(np.arange(len(found)), [len(hashes) for hashes, _ in found])
    return Near(queries, *_joined(found))


def _joined(found: list[_Found]) -> _Found:
    some = found or [_NOTHING]
    return np.concatenate([hashes for hashes, _ in some]), np.concatenate([distances for _, distances in some])
