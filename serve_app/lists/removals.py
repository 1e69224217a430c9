"""How long the lists know which entries were removed.

A process reads what has changed since its index was built, and removals are among it. They are forgotten after
:data:`KNOWN_FOR`: a process with an older index reads all entries anew.

A removal has a version and no time. So the version that the lists have is noted now and then, with the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

KNOWN_FOR: Final = timedelta(days=30)

FORGOTTEN_AT_ONCE: Final = 500
"""Removals that are erased in one transaction, which holds SQLite's writer for some 20 ms."""

_NOTED_EVERY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class VersionTime:
    """The lists had this version at this moment: removals of it, and of earlier ones, are at least as old."""

    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class KnownRemovals:
    """What is known about the age of removals: those up to the version ``forgotten_to`` are forgotten."""

    forgotten_to: int = 0
    times: Sequence[VersionTime] = ()

    def at(self, now: datetime, version: int) -> KnownRemovals:
        """What is known at ``now``, when the lists have ``version``."""
        forgotten_to = max((each.version for each in self.times if each.at <= now - KNOWN_FOR), default=0)
        forgotten_to = max(forgotten_to, self.forgotten_to)
        times = [each for each in self.times if each.version > forgotten_to]
        is_new = version > max((each.version for each in times), default=forgotten_to)
        if is_new and all(each.at <= now - _NOTED_EVERY for each in times):
            times.append(VersionTime(version, now))
        return KnownRemovals(forgotten_to, tuple(times))

    def has_all_since(self, version: int) -> bool:
        """Whether every removal since ``version`` is known; since 0, the beginning, nothing needs them."""
        return version == 0 or version >= self.forgotten_to
