"""Scored pictures, and which of them count: the same picture twice says nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import FrameFingerprint, LabelScores
from serve_app.domain.lists import MIN_QUALITY
from serve_app.lists import bands
from serve_app.lists.perceptual import BandedSearch, LinearSearch, Search, sort_into_bands

_MAX_LINEAR_HASHES = 8192
"""Up to here a scan is as fast as the bands."""


@dataclass(frozen=True, slots=True)
class ScoredPicture:
    """A picture by the name of its file, and its scores for the labels of one policy.

    ``fingerprint`` is that of its first frame, None where it is not known. It is sensitive.
    """

    name: str
    sha256: str
    scores: LabelScores
    fingerprint: FrameFingerprint | None


def distinct(pictures: Iterable[ScoredPicture]) -> list[ScoredPicture]:
    """The pictures without copies and near-duplicates, in the order of their sha256.

    Of pictures that resemble each other, the first in this order stays, so that neither names nor scores choose. Two
    resemble each other if their first frames' PDQs differ by at most 31 bits, turned and mirrored copies included. A
    PDQ of low quality resembles thousands of others: such a picture is only a copy of the same bytes.
    """
    by_digest = {
        each.sha256: each for each in sorted(pictures, key=lambda each: (each.sha256, each.name), reverse=True)
    }
    in_order = [by_digest[digest] for digest in sorted(by_digest)]
    near = _neighbours(in_order)
    stays: set[int] = set()
    for place in range(len(in_order)):
        if stays.isdisjoint(near.get(place, ())):
            stays.add(place)
    return [in_order[place] for place in sorted(stays)]


def resembling(
    pictures: Sequence[ScoredPicture], others: Sequence[ScoredPicture]
) -> list[tuple[ScoredPicture, ScoredPicture]]:
    """The pairs of a picture and one of the ``others`` that count once for :func:`distinct`."""
    together = [*pictures, *others]
    near = _neighbours(together)
    return [
        (each, other)
        for place, each in enumerate(pictures)
        for other_place, other in enumerate(others, len(pictures))
        if each.sha256 == other.sha256 or other_place in near.get(place, ())
    ]


def digest_of(pictures: Iterable[ScoredPicture]) -> str:
    """The sha256 (hex) over the sorted sha256s of a set of pictures."""
    return hashlib.sha256("\n".join(sorted(each.sha256 for each in pictures)).encode("ascii")).hexdigest()


def _neighbours(pictures: Sequence[ScoredPicture]) -> dict[int, set[int]]:
    """For each place, the places of the pictures that resemble the one there."""
    usable = [
        (place, each.fingerprint)
        for place, each in enumerate(pictures)
        if each.fingerprint is not None and each.fingerprint.quality >= MIN_QUALITY
    ]
    places = [place for place, _ in usable]
    hashes = bands.as_words(b"".join(fingerprint.pdq for _, fingerprint in usable))
    search = _search(hashes)
    near: dict[int, set[int]] = {}
    for place, fingerprint in usable:
        for found in search.near(bands.as_words(fingerprint.hashes)).hashes:
            if places[found] != place:
                near.setdefault(place, set()).add(places[found])
                near.setdefault(places[found], set()).add(place)
    return near


def _search(hashes: NDArray[np.uint64]) -> Search:
    if len(hashes) <= _MAX_LINEAR_HASHES:
        return LinearSearch(hashes)
    order = np.empty(bands.BAND_COUNT * len(hashes), dtype=np.uint32)
    bucket_starts = np.empty(int(bands.FIRST_BUCKETS[-1]) + 1, dtype=np.uint32)
    sort_into_bands(hashes, order, bucket_starts)
    return BandedSearch(hashes, order, bucket_starts)
