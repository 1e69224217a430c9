"""How a PDQ is cut into bands, and which values of each band a search looks at.

Two hashes within :data:`~serve_app.domain.lists.DENY_RADIUS_BITS` = 31 bits of each other are found without comparing
all of them, by the pigeonhole principle. A hash is cut into bands. In band *b* a search looks at every value within
fewer than ``r[b]`` flipped bits of the query's: at no value for ``r[b] = 0``, at the query's own for 1, at those with
one flipped bit too for 2. Call each step from one distance to the next a *ring*.

**A search whose rings add up to 32 misses nothing.** Let two hashes differ by ``f[b]`` bits in band *b*, at most 31
bits in all. If the search found the one for the other in no band, then ``f[b] >= r[b]`` in each, and the bands would
differ by ``sum(f) >= sum(r) = 32`` bits, which is more than 31.

Sixteen bands with two rings each (the value itself and one flipped bit) are the special case that is usually told:
31 flips over 16 bands leave a band with at most one. :data:`BAND_COUNT` wider bands with up to :data:`RINGS` rings
have 39, of which 32 suffice: a search leaves out the seven that hold the most entries for *its* query. That makes it
faster than sixteen bands on evenly spread hashes (ADR 14), and a band whose values are crowded, by accident or by
intent, is left out altogether. (Qin et al. 2018, "GPH: Similarity Search in Hamming Space", general pigeonhole.)
"""

from __future__ import annotations

from itertools import accumulate, combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.lists import DENY_RADIUS_BITS

HASH_BITS: Final = 256

BAND_COUNT: Final = 13
"""Nine bands of 20 bits and four of 19."""

RINGS: Final = 3
"""The value itself, one flipped bit, two flipped bits."""

NEEDED_RINGS: Final = DENY_RADIUS_BITS + 1


def _widths() -> tuple[int, ...]:
    width, wider = divmod(HASH_BITS, BAND_COUNT)
    return tuple(width + (band < wider) for band in range(BAND_COUNT))


def _flips(width: int) -> list[list[int]]:
    """For each ring, what a value is XORed with."""
    return [[sum(1 << bit for bit in bits) for bits in combinations(range(width), flips)] for flips in range(RINGS)]


WIDTHS: Final = _widths()
FIRST_BITS: Final = tuple(accumulate(WIDTHS, initial=0))[:-1]

FIRST_BUCKETS: Final = np.array([*accumulate((1 << width for width in WIDTHS), initial=0)], dtype=np.int64)
"""Where each band's buckets begin among the buckets of all bands; the last number is how many there are."""

_RINGS_OF_BANDS = [_flips(width) for width in WIDTHS]

PROBE_MASKS: Final[NDArray[np.uint32]] = np.array(
    [mask for rings in _RINGS_OF_BANDS for masks in rings for mask in masks], dtype=np.uint32
)
"""Every probe of one hash, ordered by band, then by ring: what the band's value is XORed with."""

PROBE_BANDS: Final[NDArray[np.intp]] = np.repeat(
    np.arange(BAND_COUNT), [sum(map(len, rings)) for rings in _RINGS_OF_BANDS]
)
_RING_SIZES = [len(masks) for rings in _RINGS_OF_BANDS for masks in rings]
PROBE_RINGS: Final[NDArray[np.intp]] = np.repeat(np.tile(np.arange(RINGS), BAND_COUNT), _RING_SIZES)
RING_STARTS: Final[NDArray[np.intp]] = np.array([*accumulate(_RING_SIZES, initial=0)][:-1])


PROBE_FIRST_BUCKETS: Final[NDArray[np.int64]] = FIRST_BUCKETS[PROBE_BANDS]

_IMPOSSIBLE: Final = -(1 << 62)
"""Below zero whatever number of entries is added to it."""


def band_values(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The value of each band, ``(hashes, bands)``, of ``hashes``, ``(hashes, 4)`` as in :func:`as_words`."""
    octets = np.zeros((len(hashes), 40), dtype=np.uint8)
    octets[:, :32] = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 32)
    values = np.empty((len(hashes), BAND_COUNT), dtype=np.uint32)
    for band, (first_bit, width) in enumerate(zip(FIRST_BITS, WIDTHS, strict=True)):
        octet, shift = divmod(first_bit, 8)
        window = np.zeros(len(hashes), dtype=np.uint32)
        # 20 bits from within an octet reach over four octets at most.
        for offset in range(4):
            window = (window << np.uint32(8)) | octets[:, octet + offset]
        values[:, band] = (window >> np.uint32(32 - shift - width)) & np.uint32((1 << width) - 1)
    return values


def as_words(hashes: bytes) -> NDArray[np.uint64]:
    """Hashes of 32 bytes, one after the other, as ``(hashes, 4)`` words, on which XOR and population count work."""
    return np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 4)


def choose_rings(entries: NDArray[np.int64]) -> NDArray[np.intp]:
    """How many rings of each band a search looks at, so that it looks at the fewest entries.

    Args:
        entries: how many entries each ring holds, ``(hashes, bands, rings)``.

    Returns:
        ``(hashes, bands)``; each row adds up to :data:`NEEDED_RINGS`.
    """
    hashes = len(entries)
    to_leave_out = BAND_COUNT * RINGS - NEEDED_RINGS
    # By the number of rings that a band leaves out, outermost first: the entries that are not looked at.
    spared = np.zeros((hashes, BAND_COUNT, RINGS + 1), dtype=np.int64)
    np.cumsum(entries[:, :, ::-1], axis=2, out=spared[:, :, 1:])
    # The most entries spared by the bands so far, by the number of rings left out so far: dynamic programming.
    most = np.full((hashes, to_leave_out + 1), _IMPOSSIBLE, dtype=np.int64)
    most[:, 0] = 0
    chosen = np.empty((BAND_COUNT, hashes, to_leave_out + 1), dtype=np.intp)
    options = np.empty((RINGS + 1, hashes, to_leave_out + 1), dtype=np.int64)
    for band in range(BAND_COUNT):
        options.fill(_IMPOSSIBLE)
        for left_out in range(RINGS + 1):
            earlier = most[:, : to_leave_out + 1 - left_out]
            np.add(earlier, spared[:, band, left_out, np.newaxis], out=options[left_out, :, left_out:])
        chosen[band] = options.argmax(axis=0)
        most = options.max(axis=0)
    rings = np.empty((hashes, BAND_COUNT), dtype=np.intp)
    each = np.arange(hashes)
    remaining = np.full(hashes, to_leave_out)
    for band in reversed(range(BAND_COUNT)):
        left_out = chosen[band, each, remaining]
        rings[:, band] = RINGS - left_out
        remaining = remaining - left_out
    return rings
