"""The pictures of the last minute, to be compared with entries that are added while their decisions were under way."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from serve_app.domain import Clock, FrameFingerprint
from serve_app.domain.lists import FingerprintType, ListKind, Match
from serve_app.lists.digests import Digests
from serve_app.lists.snapshot import Snapshot

REMEMBERED_S: Final = 60.0
_MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class DecidedPicture:
    """A picture that was decided about. The image server was told to store it if ``kept``.

    ``sha256`` is in hexadecimal digits; ``other_digests`` are those that its decision computed, because there were
    entries by them. ``lists_version`` is of the lists that its decision asked. ``kept_by_policy`` says whether the
    policy alone would have had it stored; None if it was not asked.
    """

    request_id: str
    sha256: str
    lists_version: int
    kept: bool
    fingerprints: Sequence[FrameFingerprint] = field(default=(), repr=False)
    other_digests: Digests = field(default_factory=dict, repr=False)
    kept_by_policy: bool | None = None

    @property
    def digests(self) -> Digests:
        """All that are known."""
        return {FingerprintType.SHA256: bytes.fromhex(self.sha256), **self.other_digests}


@dataclass(frozen=True, slots=True)
class LateMatch:
    """A picture that was let through moments before an entry that denies it."""

    picture: DecidedPicture
    match: Match


@dataclass(slots=True)
class RecentPicture:
    """A picture that is remembered. It was compared with the entries of all versions up to ``compared_version``."""

    stored_at_s: float
    picture: DecidedPicture
    compared_version: int


class RecentPictures:
    """Remembers pictures for :data:`REMEMBERED_S`, at most ten thousand. For several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pictures: deque[RecentPicture] = deque(maxlen=_MAX_REMEMBERED)

    def add(self, picture: DecidedPicture) -> None:
        """Remember a picture."""
        with self._lock:
            self._pictures.append(RecentPicture(self._clock(), picture, picture.lists_version))
            self._forget()

    def behind(self, version: int) -> list[RecentPicture]:
        """Those of the last minute that were not compared with the entries of ``version``."""
        with self._lock:
            self._forget()
            return [each for each in self._pictures if each.compared_version < version]

    def _forget(self) -> None:
        oldest_s = self._clock() - REMEMBERED_S
        while self._pictures and self._pictures[0].stored_at_s < oldest_s:
            self._pictures.popleft()


def denied(recent: Sequence[RecentPicture], added: Snapshot, lists: Snapshot, at: datetime) -> list[LateMatch]:
    """Pictures that ``lists`` deny and that the entries of ``added``, which are new to them, match."""
    # The new entries are few: a picture that they do not match needs no search among all of them.
    matched = [each.picture for each in recent if _denial(added, each.picture, at)]
    return [LateMatch(picture, match) for picture in matched if (match := _denial(lists, picture, at))]


def _denial(lists: Snapshot, picture: DecidedPicture, at: datetime) -> Match | None:
    found = lists.exact(picture.digests, at).deciding
    found = found or lists.nearest(picture.fingerprints, at).deciding
    return found if found is not None and found.entry.kind is ListKind.DENY else None
