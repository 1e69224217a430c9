"""The lists at one moment: what a decision asks."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import DIHEDRAL_HASHES, FrameFingerprint
from serve_app.domain.lists import (
    ALLOW_RADIUS_BITS,
    DENY_RADIUS_BITS,
    MIN_QUALITY,
    Bank,
    FingerprintType,
    ListKind,
    Match,
    Matches,
)
from serve_app.lists.bands import as_words
from serve_app.lists.built_in import BUILT_IN
from serve_app.lists.digests import OTHER_DIGESTS, Digests
from serve_app.lists.partition import Partition, Rows


@dataclass(frozen=True, slots=True)
class _Found:
    """A row of a partition that matched a query."""

    match: Match
    query: int
    is_shadow: bool

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The nearest first; of two as near, the one that denies; then the older one."""
        return self.match.distance_bits, self.match.entry.kind is ListKind.ALLOW, self.match.entry.id


class Snapshot:
    """The lists of one version. It never changes, and any thread may ask it."""

    def __init__(
        self,
        version: int,
        banks: Mapping[str, Bank],
        base: Partition,
        delta: Partition,
        removed_from_base: Iterable[int] = (),
    ) -> None:
        """A large ``base``, and what has changed since it was built.

        Args:
            version: of the lists.
            banks: by their names.
            base: entries that were in force when it was built.
            delta: entries that were added or changed since.
            removed_from_base: ids of entries of ``base`` that were removed or changed since.
        """
        self.version = version
        self._removed = np.array(sorted(removed_from_base), dtype=np.int64)
        # A bank of the same name must not turn the built-in one into a shadow.
        self._parts = [(base, _is_shadow(base, banks)), (delta, _is_shadow(delta, banks))]
        self._parts.append((BUILT_IN, _is_shadow(BUILT_IN, {})))
        self._applies: Collection[str] | None = None
        self.banks = frozenset({*banks, *base.banks, *delta.banks})
        self._is_nearest_slow = base.has(FingerprintType.PDQ) or delta.has(FingerprintType.PDQ)
        self.other_digests = tuple(type_ for type_ in OTHER_DIGESTS if base.has(type_) or delta.has(type_))
        """The digests beside its sha256 that :meth:`exact` needs of a body, since there are entries by them."""

    def restricted_to(self, banks: Collection[str] | None) -> Self:
        """The same lists with the entries of ``banks`` alone, and the built-in ones; of all banks if it is None."""
        if banks is None:
            return self
        restricted = copy.copy(self)
        restricted._applies = {*banks, *BUILT_IN.banks}  # noqa: SLF001 - of this class
        return restricted

    @property
    def is_nearest_slow(self) -> bool:
        """Whether :meth:`nearest` takes milliseconds, and is nothing for an event loop.

        Without other entries than the built-in ones it takes a tenth of one.
        """
        return self._is_nearest_slow

    @property
    def own_entries(self) -> int:
        """How many entries there are that can match, but the built-in ones; some may have been removed since."""
        return sum(len(part) for part, _ in self._parts[:-1])

    def suspects(
        self, sha256: NDArray[np.uint8], hashes: NDArray[np.uint64], bodies: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Of many bodies those about which entries may say something: ask :meth:`exact` and :meth:`nearest` about them.

        Args:
            sha256: of the bodies, ``(bodies, 32)``.
            hashes: PDQ hashes of their frames, ``(hashes, 4)``.
            bodies: of which body each hash is, ``(hashes,)``.

        Returns:
            Indices of bodies, each once, in order.
        """
        found = [part.holding(FingerprintType.SHA256, sha256) for part, _ in self._parts]
        found += [bodies[part.near_any(hashes)] for part, _ in self._parts if len(hashes)]
        return np.unique(np.concatenate(found))

    def exact(self, digests: Digests, at: datetime) -> Matches:
        """What the exact entries say about a body; deny goes before allow. It takes microseconds.

        Entries by a digest that is not given are not asked.
        """
        found: list[_Found] = []
        for type_, digest in digests.items():
            for number, (part, _) in enumerate(self._parts):
                found += self._found(number, part.exact(type_, digest), type_, at, per_query=1)
        deciding = min((each for each in found if not each.is_shadow), key=lambda each: each.rank, default=None)
        return Matches(deciding.match if deciding else None, _nearest_shadows(found))

    def nearest(self, fingerprints: Sequence[FrameFingerprint], at: datetime) -> Matches:
        """What the perceptual entries say about a picture. See :attr:`is_nearest_slow`.

        The built-in entry goes before all others: nobody can allow the canary. Then the nearest entry decides about a
        frame; of two as near, the one that denies. One denied frame denies the picture. It is allowed only if every
        frame is: otherwise an allowed picture, put in as one frame of an animation, would let the other frames through.
        """
        asked = [each for each in fingerprints if each.quality >= MIN_QUALITY]
        if not asked:
            return Matches()
        queries = as_words(b"".join(each.hashes for each in asked))
        by_part = [
            self._found(number, part.near(queries), FingerprintType.PDQ, at, DIHEDRAL_HASHES, asked)
            if part.has(FingerprintType.PDQ)
            else []
            for number, (part, _) in enumerate(self._parts)
        ]
        found = list(itertools.chain.from_iterable(by_part))
        if built_in := by_part[-1]:
            return Matches(min(built_in, key=lambda each: each.rank).match, _nearest_shadows(found))
        nearest: dict[int, _Found] = {}
        for each in sorted((each for each in found if not each.is_shadow), key=lambda each: each.rank):
            nearest.setdefault(each.query, each)
        denied = [each for each in nearest.values() if each.match.entry.kind is ListKind.DENY]
        decisive = denied or (list(nearest.values()) if len(nearest) == len(fingerprints) else [])
        deciding = min(decisive, key=lambda each: each.rank, default=None)
        return Matches(deciding.match if deciding else None, _nearest_shadows(found))

    def _found(
        self,
        number: int,
        rows: Rows,
        type_: FingerprintType,
        at: datetime,
        per_query: int,
        asked: Sequence[FrameFingerprint] = (),
    ) -> list[_Found]:
        """The nearest of ``rows`` that are in force, by picture and bank; ``per_query`` symmetries belong together."""
        if not len(rows.rows):
            return []
        part, is_shadow = self._parts[number]
        in_force = (rows.expires_s > at.timestamp()) & (
            rows.distances_bits <= np.where(rows.is_allow, ALLOW_RADIUS_BITS, DENY_RADIUS_BITS)
        )
        if number == 0:
            in_force &= ~np.isin(rows.ids, self._removed)
        if self._applies is not None:
            in_force &= np.array([name in self._applies for name in part.banks], dtype=np.bool_)[rows.banks]
        chosen = in_force.nonzero()[0]
        # A picture may match thousands of entries: of each bank's, only the nearest becomes an object.
        pictures = rows.queries[chosen] // per_query
        ranked = np.lexsort((rows.ids[chosen], rows.is_allow[chosen], rows.distances_bits[chosen]))
        groups = pictures[ranked] * len(part.banks) + rows.banks[chosen][ranked]
        firsts = np.unique(groups, return_index=True)[1]
        found = []
        for place in chosen[ranked[firsts]]:
            picture, symmetry = divmod(int(rows.queries[place]), per_query)
            match = Match(
                part.entry(int(rows.rows[place])),
                type_,
                int(rows.distances_bits[place]),
                asked[picture].frame if asked else None,
                symmetry if asked else None,
            )
            found.append(_Found(match, picture, bool(is_shadow[rows.banks[place]])))
        return found


def _is_shadow(part: Partition, banks: Mapping[str, Bank]) -> NDArray[np.bool_]:
    return np.array([banks[name].is_shadow if name in banks else False for name in part.banks], dtype=np.bool_)


def _nearest_shadows(found: Iterable[_Found]) -> tuple[Match, ...]:
    nearest: dict[str, Match] = {}
    for each in sorted((each for each in found if each.is_shadow), key=lambda each: each.rank):
        nearest.setdefault(each.match.entry.bank, each.match)
    return tuple(nearest.values())
