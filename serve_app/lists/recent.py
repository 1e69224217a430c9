"""The pictures of the last minute, to be compared with entries that are added while their decisions were under way."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from serve_app.domain import Clock, FrameFingerprint
from serve_app.domain.lists import FingerprintType, ListKind, Match
from serve_app.lists.digests import Digests
from serve_app.lists.snapshot import Snapshot

REMEMBERED_S: Final = 60.0
MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class DecidedPicture:
    """A picture that was decided about, and may be stored if ``kept``.

    ``sha256`` is in hexadecimal digits; ``other_digests`` are those that its decision computed, because there were
    entries by them. ``lists_version`` is of the lists that its decision asked. ``is_of_image_server`` as in
    :class:`~serve_app.domain.Decision`. ``kept_by_policy`` says whether the policy alone would have had it stored; None
    if it was not asked. ``banks`` are those that apply to its source; None if all do.
    """

    request_id: str
    sha256: str
    lists_version: int
    kept: bool
    fingerprints: Sequence[FrameFingerprint] = field(default=(), repr=False)
    is_of_image_server: bool = True
    other_digests: Digests = field(default_factory=dict, repr=False)
    kept_by_policy: bool | None = None
    banks: Collection[str] | None = None

    @property
    def is_let_through(self) -> bool:
        """Whether it was let through to an image server."""
        return self.kept and self.is_of_image_server

    @property
    def digests(self) -> Digests:
        """All that are known."""
        return {FingerprintType.SHA256: bytes.fromhex(self.sha256), **self.other_digests}


@dataclass(frozen=True, slots=True)
class LateMatch:
    """A picture that was let through moments before an entry that denies it."""

    picture: DecidedPicture
    match: Match


@dataclass(slots=True, eq=False)
class RecentPicture:
    """A picture that is remembered. It was compared with the entries of all versions up to ``compared_version``."""

    stored_at_s: float
    picture: DecidedPicture
    compared_version: int


class RecentPictures:
    """Remembers pictures for :data:`REMEMBERED_S`, at most ten thousand. For several threads.

    Those whose decision asked older lists than there are wait to be compared, however long that takes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pictures: deque[RecentPicture] = deque(maxlen=MAX_REMEMBERED)
        self._waiting: dict[RecentPicture, None] = {}
        self._version = 0
        self._forgets = True

    def add(self, picture: DecidedPicture) -> None:
        """Remember a picture. Its decision may have ended after the lists have changed."""
        with self._lock:
            recent = RecentPicture(self._clock(), picture, picture.lists_version)
            self._pictures.append(recent)
            self._forget()
            if recent.compared_version < self._version:
                self._wait([recent])

    def lists_have(self, version: int, *, is_complete: bool) -> None:
        """From now on decisions ask lists of ``version``; pictures are remembered until those are complete."""
        with self._lock:
            self._forget()
            self._forgets = is_complete
            self._version = version
            self._wait(each for each in self._pictures if each.compared_version < version)

    def waiting(self) -> list[RecentPicture]:
        """Those that wait to be compared, those that have waited for long first."""
        with self._lock:
            return list(self._waiting)

    def compared(self, recent: RecentPicture, version: int) -> None:
        """It was compared with all entries up to ``version``."""
        with self._lock:
            recent.compared_version = version
            if version >= self._version:
                self._waiting.pop(recent, None)

    def _wait(self, pictures: Iterable[RecentPicture]) -> None:
        self._waiting |= dict.fromkeys(pictures)
        for each in list(itertools.islice(self._waiting, max(0, len(self._waiting) - MAX_REMEMBERED))):
            del self._waiting[each]

    def _forget(self) -> None:
        oldest_s = self._clock() - REMEMBERED_S
        while self._forgets and self._pictures and self._pictures[0].stored_at_s < oldest_s:
            self._pictures.popleft()


def denial(picture: DecidedPicture, added: Snapshot, lists: Snapshot, at: datetime) -> LateMatch | None:
    """The match by which ``lists`` deny a picture that the entries of ``added``, which are new to it, match."""
    # The new entries are few: a picture that they do not match needs no search among all of them.
    if _denial(added, picture, at) is None:
        return None
    match = _denial(lists, picture, at)
    return LateMatch(picture, match) if match is not None else None


def _denial(lists: Snapshot, picture: DecidedPicture, at: datetime) -> Match | None:
    lists = lists.restricted_to(picture.banks)
    found = lists.exact(picture.digests, at).deciding
    found = found or lists.nearest(picture.fingerprints, at).deciding
    return found if found is not None and found.entry.kind is ListKind.DENY else None
