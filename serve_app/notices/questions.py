"""The questions of each look. Each is asked alone: one that fails or is slow keeps no other from being answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from serve_app.domain import LedgerHealth, NoticeKind, PendingDecisions
from serve_app.domain.workers import WorkersHealth
from serve_app.notices.facts import DoubtedScores, Facts, HuntedPictures, SuspendedEntry
from serve_app.notices.faults import Faults
from serve_app.notices.incidents import DOUBTS_ARE_NEWS_FOR

ANSWER_WITHIN_S: Final = 10.0
"""Seconds until a database that does not answer counts as one that refuses."""

_Answer = TypeVar("_Answer")


class Health(Protocol):
    """Of a ledger and its archive what is asked here."""

    def health(self) -> LedgerHealth:
        """Whether this process's decisions are being recorded."""
        ...

    async def pending_count(self) -> PendingDecisions:
        """How many pictures wait to be scanned."""
        ...


class Watched(Protocol):
    """What is asked beside the records."""

    async def scanner_problem(self) -> str | None:
        """Why no picture can be scanned now; None if one can. It answers within a few seconds."""
        ...

    async def suspended(self) -> Sequence[SuspendedEntry]:
        """The entries of the lists that are suspended, in the order of their numbers."""
        ...

    async def hunted(self) -> HuntedPictures | None:
        """What the latest hunt found; None if there was none for days."""
        ...

    def over_quota(self) -> Mapping[str, int]:
        """Pictures beyond the quota of their source, by source, since the start of this process."""
        ...

    async def purged_since(self, since: datetime) -> int:
        """How many pictures were purged since a moment."""
        ...

    async def workers(self) -> WorkersHealth | None:
        """Whether workers elsewhere score; None where the models compute in the service."""
        ...

    async def doubts_since(self, since: datetime) -> Sequence[DoubtedScores]:
        """The scores of workers that came into doubt since a moment, oldest first."""
        ...


class Questions:
    """What is asked about the kinds of notices that are wanted."""

    def __init__(self, health: Health, watched: Watched, kinds: Iterable[NoticeKind], faults: Faults) -> None:
        """Pictures beyond a quota are counted from now on."""
        self._health = health
        self._watched = watched
        self._kinds = frozenset(kinds)
        self._faults = faults
        self._over_quota = self._over_quota_told = Counter(watched.over_quota())

    async def ask(self, at: datetime) -> tuple[Facts, frozenset[NoticeKind]]:
        """What is so at the moment ``at``, and the kinds of which that is known."""
        unknown: set[NoticeKind] = set()

        async def answer(kind: NoticeKind, question: Callable[[], Awaitable[_Answer]], otherwise: _Answer) -> _Answer:
            if kind not in self._kinds:
                return otherwise
            what = f"the question of the notice {kind} was not answered, and is asked again"
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    answered = await question()
            except Exception as error:
                self._faults.note(what, error)
                unknown.add(kind)
                return otherwise
            self._faults.end(what)
            return answered

        none_suspended: Sequence[SuspendedEntry] = ()
        none_hunted: HuntedPictures | None = None
        none_doubted: Sequence[DoubtedScores] = ()
        over_quota, earlier = Counter(self._watched.over_quota()), self._over_quota
        self._over_quota = over_quota
        midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        of_pictures = asyncio.gather(
            answer(NoticeKind.SCANNER, self._watched.scanner_problem, None),
            answer(NoticeKind.PENDING, self._health.pending_count, PendingDecisions()),
            answer(NoticeKind.FLOOD_GUARD, self._watched.suspended, none_suspended),
            answer(NoticeKind.HUNT, self._watched.hunted, none_hunted),
            answer(NoticeKind.PURGE_QUOTA, lambda: self._watched.purged_since(midnight), 0),
        )
        of_workers = asyncio.gather(
            answer(NoticeKind.WORKERS, self._watched.workers, None),
            answer(NoticeKind.DISTRUST, lambda: self._watched.doubts_since(at - DOUBTS_ARE_NEWS_FOR), none_doubted),
        )
        (scanner_problem, pending, suspended, hunted, purged_today), (workers, doubts) = await asyncio.gather(
            of_pictures, of_workers
        )
        facts = Facts(
            at,
            scanner_problem=scanner_problem,
            pending=pending,
            suspended=suspended,
            hunted=hunted,
            purged_today=purged_today,
            over_quota=over_quota - self._over_quota_told,
            is_over_quota=over_quota != earlier,
            ledger=self._health.health(),
            workers=workers,
            doubts=doubts,
        )
        return facts, self._kinds - unknown

    def note_over_quota_told(self) -> None:
        """The pictures beyond their quotas up to the last look are told, and not counted again."""
        self._over_quota_told = self._over_quota
