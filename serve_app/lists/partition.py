"""A fixed set of entries that can be searched: arrays, in memory or mapped from a file.

Rows are ordered by the type of their fingerprint, then by its digest, so that a digest's entries are neighbours. What
an entry decides with, its *terms* (kind, bank, reason, expiry), is stored once for all entries that share it: the
entries of an import usually do.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.lists import EXACT_TYPES, FingerprintType, KnownEntry, ListEntry, ListKind
from serve_app.lists import bands
from serve_app.lists.perceptual import BandedSearch, LinearSearch, Near, Search, banded, sort_into_bands

_NEVER: Final = 0xFFFF_FFFF
"""The expiry, in seconds since 1970, of an entry without one. It is in the year 2106."""

_MAX_LINEAR_HASHES: Final = 8192
"""Up to here a scan is as fast as the bands, which take 44 MB however few hashes they order."""

_MAX_COMPARED_WITH_ALL: Final = 512
"""Up to here it costs less to compare entries with many hashes than to sort these into bands."""

Arrays = Mapping[str, NDArray[Any]]
Allocate = Callable[[str, tuple[int, ...], str], NDArray[Any]]
"""Name, shape and dtype to a new array of zeros: in memory, or in a file."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that matched queries, one element a row."""

    queries: NDArray[np.intp]
    distances_bits: NDArray[np.uint16]
    rows: NDArray[np.intp]
    ids: NDArray[np.int64]
    is_allow: NDArray[np.bool_]
    banks: NDArray[np.uint16]
    expires_s: NDArray[np.uint32]


_NO_ROWS: Final = Rows(
    np.empty(0, dtype=np.intp),
    np.empty(0, dtype=np.uint16),
    np.empty(0, dtype=np.intp),
    np.empty(0, dtype=np.int64),
    np.empty(0, dtype=np.bool_),
    np.empty(0, dtype=np.uint16),
    np.empty(0, dtype=np.uint32),
)


class Partition:
    """Entries that can be searched, and never change."""

    def __init__(self, arrays: Arrays) -> None:
        """``arrays`` as :meth:`PartitionBuilder.finish` returns them."""
        self._arrays = arrays
        self._ids: NDArray[np.int64] = arrays["ids"]
        self._terms: NDArray[np.uint32] = arrays["terms"]
        self._reason_starts: NDArray[np.uint64] = arrays["reason_starts"]
        self.banks: tuple[str, ...] = tuple(arrays["banks"].tobytes().decode().splitlines())
        self._first_rows: dict[FingerprintType, int] = {}
        row = 0
        for type_ in EXACT_TYPES:
            self._first_rows[type_] = row
            row += len(arrays[f"{type_}.digests"])
        self._first_rows[FingerprintType.PDQ] = row
        hashes = arrays["pdq.hashes"]
        self._hash_starts: NDArray[np.uint32] = arrays["pdq.starts"]
        self._search: Search = (
            BandedSearch(hashes, arrays["pdq.order"], arrays["pdq.bucket_starts"])
            if "pdq.order" in arrays
            else LinearSearch(hashes)
        )

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def size_bytes(self) -> int:
        """How much memory the arrays take, mapped or not."""
        return sum(each.nbytes for each in self._arrays.values())

    def has(self, type_: FingerprintType) -> bool:
        """Whether there are entries with this type of fingerprint."""
        return len(self._arrays["pdq.hashes" if type_ is FingerprintType.PDQ else f"{type_}.digests"]) > 0

    def exact(self, type_: FingerprintType, digest: bytes) -> Rows:
        """The entries with this digest, which is of one of the exact types. It takes microseconds."""
        prefixes: NDArray[np.uint64] = self._arrays[f"{type_}.prefixes"]
        if not len(prefixes):
            return _NO_ROWS  # numpy's search would let other threads take over first
        digests: NDArray[np.uint8] = self._arrays[f"{type_}.digests"]
        prefix = np.uint64(int.from_bytes(digest[:8], "big"))
        first = int(prefixes.searchsorted(prefix))
        # Among digests that are evenly spread, all with the same first eight bytes are copies of one.
        last = int(prefixes.searchsorted(prefix, side="right"))
        found = [place for place in range(first, last) if digests[place].tobytes() == digest]
        if not found:
            return _NO_ROWS
        rows = np.array(found, dtype=np.intp) + self._first_rows[type_]
        return self._rows(np.zeros(len(rows), dtype=np.intp), np.zeros(len(rows), dtype=np.uint16), rows)

    def holding(self, type_: FingerprintType, digests: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Which of many digests, ``(n, bytes)``, have entries of that exact type: their indices, in order.

        One in 2**64 others may be among them, of which the first eight bytes alone are known here.
        """
        prefixes: NDArray[np.uint64] = self._arrays[f"{type_}.prefixes"]
        if not len(prefixes):
            return np.empty(0, dtype=np.intp)
        wanted = _prefixes(digests)
        places = np.minimum(prefixes.searchsorted(wanted), len(prefixes) - 1)
        is_known: NDArray[np.bool_] = prefixes[places] == wanted
        return is_known.nonzero()[0]

    def near(self, queries: NDArray[np.uint64]) -> Rows:
        """The entries within the deny radius of each query, ``(n, 4)``. Milliseconds of CPU: not for an event loop."""
        near: Near = self._search.near(queries)
        if not len(near.hashes):
            return _NO_ROWS
        starts = self._hash_starts[near.hashes].astype(np.intp)
        counts = self._hash_starts[near.hashes + 1].astype(np.intp) - starts
        ends = np.cumsum(counts)
        rows = np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1])
        return self._rows(
            np.repeat(near.queries, counts),
            np.repeat(near.distances_bits, counts),
            rows + self._first_rows[FingerprintType.PDQ],
        )

    def near_any(self, hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Which of many hashes, ``(n, 4)``, have entries within the deny radius: their indices, in order."""
        own: NDArray[np.uint64] = self._arrays["pdq.hashes"]
        if _MAX_COMPARED_WITH_ALL < len(own) < len(hashes):
            return np.unique(banded(hashes).near(own).hashes)
        return np.unique(self._search.near(hashes).queries)

    def entry(self, row: int) -> KnownEntry:
        """The entry in ``row``."""
        terms = int(self._terms[row])
        reason = int(self._arrays["term_reasons"][terms])
        first, last = int(self._reason_starts[reason]), int(self._reason_starts[reason + 1])
        return KnownEntry(
            int(self._ids[row]),
            ListKind.ALLOW if self._arrays["term_is_allow"][terms] else ListKind.DENY,
            self.banks[int(self._arrays["term_banks"][terms])],
            self._arrays["reasons"][first:last].tobytes().decode(),
        )

    def _rows(self, queries: NDArray[np.intp], distances_bits: NDArray[np.uint16], rows: NDArray[np.intp]) -> Rows:
        terms = self._terms[rows]
        return Rows(
            queries,
            distances_bits,
            rows,
            self._ids[rows],
            self._arrays["term_is_allow"][terms],
            self._arrays["term_banks"][terms],
            self._arrays["term_expires_s"][terms],
        )


class PartitionBuilder:
    """Takes entries one by one, in any order, in little memory: the digest and 12 bytes each."""

    def __init__(self) -> None:
        self._digests = {type_: bytearray() for type_ in FingerprintType}
        self._ids = {type_: array("q") for type_ in FingerprintType}
        self._terms_of = {type_: array("I") for type_ in FingerprintType}
        self._terms: dict[tuple[bool, int, int, int], int] = {}
        self._banks: dict[str, int] = {}
        self._reasons: dict[str, int] = {}

    def add(self, entry: ListEntry) -> None:
        """Add an entry; one that can never match (suspended, or of a low quality) is left out."""
        if entry.suspended_at is not None or not entry.fingerprint.can_match:
            return
        terms = (
            entry.kind is ListKind.ALLOW,
            _number(self._banks, entry.bank),
            _seconds(entry.expires_at),
            _number(self._reasons, entry.reason),
        )
        type_ = entry.fingerprint.type
        self._digests[type_] += entry.fingerprint.digest
        self._ids[type_].append(entry.id)
        self._terms_of[type_].append(_number(self._terms, terms))

    def finish(self, allocate: Allocate | None = None) -> dict[str, NDArray[Any]]:
        """The arrays of a :class:`Partition`; the large ones come from ``allocate``."""
        new = _Arrays(allocate or _in_memory)
        total = sum(map(len, self._ids.values()))
        ids, terms = new("ids", (total,), "<i8"), new("terms", (total,), "<u4")
        row = 0
        for type_ in (*EXACT_TYPES, FingerprintType.PDQ):
            digests = np.frombuffer(bytes(self._digests[type_]), dtype=np.uint8).reshape(-1, type_.digest_bytes)
            prefixes = _prefixes(digests)
            order = _order(digests, prefixes)
            if type_ is FingerprintType.PDQ:
                _add_hashes(new, digests, order)
            else:
                new(f"{type_}.digests", digests.shape, "|u1")[:] = digests[order]
                new(f"{type_}.prefixes", prefixes.shape, "<u8")[:] = prefixes[order]
            last = row + len(digests)
            ids[row:last] = np.frombuffer(self._ids[type_], dtype=np.int64)[order]
            terms[row:last] = np.frombuffer(self._terms_of[type_], dtype=np.uint32)[order]
            row = last
        self._add_terms(new)
        return new.all

    def _add_terms(self, new: _Arrays) -> None:
        columns: tuple[Iterable[int], ...] = tuple(zip(*self._terms, strict=True)) or ((), (), (), ())
        for (name, dtype), column in zip(_TERM_COLUMNS, columns, strict=True):
            new(name, (len(self._terms),), dtype)[:] = np.array(tuple(column), dtype=dtype)
        encoded = [reason.encode() for reason in self._reasons]
        starts = new("reason_starts", (len(encoded) + 1,), "<u8")
        starts[1:] = np.cumsum([len(each) for each in encoded])
        for name, text in (("reasons", b"".join(encoded)), ("banks", "\n".join(self._banks).encode())):
            new(name, (len(text),), "|u1")[:] = np.frombuffer(text, dtype=np.uint8)


_TERM_COLUMNS = (
    ("term_is_allow", "|b1"),
    ("term_banks", "<u2"),
    ("term_expires_s", "<u4"),
    ("term_reasons", "<u4"),
)


class _Arrays:
    """Allocates arrays, and remembers them by their names."""

    def __init__(self, allocate: Allocate) -> None:
        self._allocate = allocate
        self.all: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        self.all[name] = self._allocate(name, shape, dtype)
        return self.all[name]


def _add_hashes(new: _Arrays, digests: NDArray[np.uint8], order: NDArray[np.intp]) -> None:
    """Each different hash once, where its rows begin, and the bands if there are many."""
    words = np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 4)[order]
    is_new = np.ones(len(words), dtype=np.bool_)
    is_new[1:] = (words[1:] != words[:-1]).any(axis=1)
    firsts = is_new.nonzero()[0]
    hashes = new("pdq.hashes", (len(firsts), 4), "<u8")
    hashes[:] = words[firsts]
    starts = new("pdq.starts", (len(firsts) + 1,), "<u4")
    starts[:-1], starts[-1] = firsts, len(words)
    if len(firsts) > _MAX_LINEAR_HASHES:
        sort_into_bands(
            hashes,
            new("pdq.order", (bands.BAND_COUNT * len(firsts),), "<u4"),
            new("pdq.bucket_starts", (int(bands.FIRST_BUCKETS[-1]) + 1,), "<u4"),
        )


def _prefixes(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first eight bytes of each digest as a number in their order."""
    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _order(digests: NDArray[np.uint8], prefixes: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The order of the digests. The prefixes decide it, but for digests that share theirs, which are few or crafted."""
    order = prefixes.argsort(kind="stable")
    in_order = prefixes[order]
    if (in_order[1:] != in_order[:-1]).all():
        return order
    return digests.view(f"V{digests.shape[1]}")[:, 0].argsort(kind="stable")


def _number(numbers: dict[Any, int], key: Any) -> int:
    return numbers.setdefault(key, len(numbers))


def _seconds(expires_at: datetime | None) -> int:
    if expires_at is None:
        return _NEVER
    return max(0, min(math.ceil(expires_at.timestamp()), _NEVER))


def _in_memory(_name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.zeros(shape, dtype=dtype)


def partition_of(entries: Iterable[ListEntry]) -> Partition:
    """A partition in memory."""
    builder = PartitionBuilder()
    for entry in entries:
        builder.add(entry)
    return Partition(builder.finish())


if sys.byteorder != "little":
    raise ImportError("the index of the lists is written for little-endian machines")
