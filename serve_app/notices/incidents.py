"""What begins, lasts and ends: when it is told, so that nobody is told too often, nor of nothing."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from serve_app.domain import NoticeKind
from serve_app.domain.workers import WorkersHealth
from serve_app.notices.facts import Facts, HuntedPictures
from serve_app.notices.told import Told
from serve_app.settings import NoticeSettings

AGAIN_AFTER: Final = timedelta(days=1)
"""What lasts is told again after it."""

OVER_AFTER: Final = timedelta(minutes=5)
"""What is not so for as long is over: what comes and goes is one incident."""

APART: Final = timedelta(hours=1)
"""Between two notices that something of one kind has begun. What ends before its notice is only counted."""

LEDGER_AFTER: Final = timedelta(minutes=2)
"""A database that restarts is no news."""

WORKERS_AFTER: Final = timedelta(minutes=1)
"""A worker that is started again is no news."""

DOUBTS_ARE_NEWS_FOR: Final = timedelta(days=1)
"""Scores that are in doubt are told of once, within it."""

SOURCE_QUOTA_AFTER: Final = timedelta(minutes=1)
"""A short burst of one source is what its quota is for."""

HUNT_IS_NEWS_FOR: Final = timedelta(hours=1)
"""A hunt that has purged all that it found is told of once, within it."""

LONG_PENDING: Final = timedelta(hours=6)
"""A single picture that waits for so long is told, too: whatever was to scan it does not."""


_STANDING: Final = frozenset(NoticeKind) - {NoticeKind.REJECTED, NoticeKind.UNSCANNED}

_UNBROKEN: Final = frozenset({NoticeKind.SCANNER, NoticeKind.LEDGER, NoticeKind.WORKERS})
"""Is told only after it was so at every look for a while; the quota of a source is exceeded at single moments."""

_ENDS_UNTOLD: Final = frozenset({NoticeKind.HUNT, NoticeKind.PURGE_QUOTA, NoticeKind.SOURCE_QUOTA, NoticeKind.DISTRUST})
"""A hunt has ended already, a quota of purges ends at midnight, and the others have no end that would matter."""


class Phase(enum.Enum):
    """Where an incident is when it is told."""

    BEGUN = "begun"
    LASTS = "lasts"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Telling:
    """An incident to be told. ``missed`` are those of its kind before it that ended untold."""

    kind: NoticeKind
    phase: Phase
    since: datetime
    until: datetime
    missed: int = 0
    told_before: datetime | None = None


@dataclass(slots=True)
class _Incident:
    since: datetime
    last_so: datetime
    told_at: datetime | None = None
    has_told_news: bool = False


class Incidents:
    """Those that last now, of all kinds. Nothing in it waits: it is shown facts, and asked what is to be told."""

    def __init__(self, settings: NoticeSettings, max_purges_per_day: int, told: Iterable[Told], at: datetime) -> None:
        """It goes on from what was ``told``, oldest first, at the moment ``at``."""
        self._settings = settings
        self._max_purges_per_day = max_purges_per_day
        self._delays: Mapping[NoticeKind, timedelta] = {
            NoticeKind.SCANNER: timedelta(seconds=settings.unreachable_after_s),
            NoticeKind.LEDGER: LEDGER_AFTER,
            NoticeKind.SOURCE_QUOTA: SOURCE_QUOTA_AFTER,
            NoticeKind.WORKERS: WORKERS_AFTER,
        }
        self._open: dict[NoticeKind, _Incident] = {}
        self._begun_told_at: dict[NoticeKind, datetime] = {}
        self._missed: dict[NoticeKind, int] = {}
        for each in told:
            for kind, since in each.lasting.items():
                self._open[kind] = _Incident(since, at, each.at)
                self._begun_told_at[kind] = each.at
            for kind in each.over:
                self._open.pop(kind, None)

    def forget_after(self, at: datetime) -> None:
        """The clock was set back to ``at``: nothing began or was told later."""
        for each in self._open.values():
            each.since, each.last_so = min(each.since, at), min(each.last_so, at)
            each.told_at = None if each.told_at is None else min(each.told_at, at)
        self._begun_told_at = {kind: min(told_at, at) for kind, told_at in self._begun_told_at.items()}

    def see(self, facts: Facts, kinds: Collection[NoticeKind] = _STANDING) -> None:
        """Note which things are so; of ``kinds`` alone, if of no others anything is known."""
        for kind in self._standing(kinds):
            if self._is_so(kind, facts):
                incident = self._open.setdefault(kind, _Incident(self._since(kind, facts), facts.at))
                incident.last_so = facts.at
            elif kind in self._open and (
                self._is_over(self._open[kind], facts.at) or self._was_brief(kind, self._open[kind])
            ):
                self._end(kind, self._open[kind])

    def _end(self, kind: NoticeKind, incident: _Incident) -> None:
        """Forget it, unless its end is to be told."""
        if incident.told_at is not None and kind not in _ENDS_UNTOLD:
            return
        del self._open[kind]
        if incident.told_at is None and self._has_lasted(kind, incident):
            self._missed[kind] = self._missed.get(kind, 0) + 1

    def _was_brief(self, kind: NoticeKind, incident: _Incident) -> bool:
        return kind in _UNBROKEN and incident.told_at is None and not self._has_lasted(kind, incident)

    def _has_lasted(self, kind: NoticeKind, incident: _Incident) -> bool:
        return incident.last_so - incident.since >= self._delays.get(kind, timedelta())

    def due(self, facts: Facts, kinds: Collection[NoticeKind] = _STANDING, *, at_once: bool = False) -> list[Telling]:
        """What is to be told now of ``kinds``, in their order.

        ``at_once`` also what has just begun, however soon it is after another of its kind.
        """
        found = []
        for kind in self._standing(kinds):
            incident = self._open.get(kind)
            phase = None if incident is None else self._phase(kind, incident, facts, at_once=at_once)
            if incident is not None and phase is not None:
                told_at, missed = incident.told_at, self._missed.get(kind, 0)
                found.append(Telling(kind, phase, incident.since, incident.last_so, missed, told_at))
        return found

    def note_told(self, tellings: Iterable[Telling], at: datetime) -> None:
        """They are told now, and not again."""
        for each in tellings:
            if each.phase is Phase.OVER:
                del self._open[each.kind]
                continue
            self._open[each.kind].told_at = at
            self._open[each.kind].has_told_news |= each.told_before is not None and each.phase is Phase.BEGUN
            self._begun_told_at[each.kind] = at
            self._missed.pop(each.kind, None)

    def _standing(self, kinds: Collection[NoticeKind]) -> list[NoticeKind]:
        return [each for each in NoticeKind if each in kinds and each in self._settings.kinds and each in _STANDING]

    def _phase(self, kind: NoticeKind, incident: _Incident, facts: Facts, *, at_once: bool) -> Phase | None:
        at, told_at = facts.at, incident.told_at
        if told_at is not None and self._is_over(incident, at):
            return Phase.OVER
        if incident.last_so != at:
            return None
        if told_at is not None:
            # That nothing is scanned any more is told at once, and only the next time as late as other news.
            is_urgent = kind is NoticeKind.WORKERS and not incident.has_told_news
            if _has_news(kind, facts, told_at) and (is_urgent or at - told_at >= APART):
                return Phase.BEGUN
            return Phase.LASTS if at - told_at >= AGAIN_AFTER else None
        begun_told_at = self._begun_told_at.get(kind)
        is_apart = begun_told_at is None or at - begun_told_at >= APART
        return Phase.BEGUN if at_once or (is_apart and self._has_lasted(kind, incident)) else None

    @staticmethod
    def _is_over(incident: _Incident, at: datetime) -> bool:
        return at - incident.last_so >= OVER_AFTER

    def _is_so(self, kind: NoticeKind, facts: Facts) -> bool:
        match kind:
            case NoticeKind.SCANNER:
                return facts.scanner_problem is not None and not self._is_for_want_of_workers(facts)
            case NoticeKind.PENDING:
                oldest_at = facts.pending.oldest_at
                is_long = oldest_at is not None and facts.at - oldest_at >= LONG_PENDING
                return is_long or facts.pending.count >= self._settings.pending_at_least
            case NoticeKind.FLOOD_GUARD:
                return bool(facts.suspended)
            case NoticeKind.HUNT:
                return facts.hunted is not None and _is_worth_telling(facts.hunted, facts.at)
            case NoticeKind.PURGE_QUOTA:
                return 0 < self._max_purges_per_day <= facts.purged_today
            case NoticeKind.SOURCE_QUOTA:
                return facts.is_over_quota
            case NoticeKind.LEDGER:
                return facts.has_unrecorded
            case _:
                return _is_so_of_workers(kind, facts)

    def _is_for_want_of_workers(self, facts: Facts) -> bool:
        """Whether the notice of the workers says already who scans, or will."""
        health = facts.workers
        if health is None or NoticeKind.WORKERS not in self._settings.kinds:
            return False
        return health.absent_since is not None or not health.connected

    @staticmethod
    def _since(kind: NoticeKind, facts: Facts) -> datetime:
        match kind:
            case NoticeKind.FLOOD_GUARD:
                return min(each.at for each in facts.suspended)
            case NoticeKind.WORKERS if facts.workers is not None and facts.workers.absent_since is not None:
                return min(facts.workers.absent_since, facts.at)
            case _:
                return facts.at


def _is_so_of_workers(kind: NoticeKind, facts: Facts) -> bool:
    match kind:
        case NoticeKind.WORKERS:
            return facts.workers is not None and facts.workers.absent_since is not None
        case NoticeKind.DISTRUST:
            return any(facts.at - each.at < DOUBTS_ARE_NEWS_FOR for each in facts.doubts)
        case _:
            return False


def _is_worth_telling(hunted: HuntedPictures, at: datetime) -> bool:
    return hunted.left > 0 or (hunted.purged > 0 and at - hunted.at < HUNT_IS_NEWS_FOR)


def _has_news(kind: NoticeKind, facts: Facts, told_at: datetime) -> bool:
    """Whether an incident that was told has become more."""
    match kind:
        case NoticeKind.FLOOD_GUARD:
            return any(each.at > told_at for each in facts.suspended)
        case NoticeKind.HUNT:
            return facts.hunted is not None and facts.hunted.at > told_at
        case NoticeKind.DISTRUST:
            return any(each.at > told_at for each in facts.doubts)
        case NoticeKind.WORKERS:
            return facts.workers is not None and _have_stand_ins_left(facts.workers, facts.at, told_at)
        case _:
            return False


def _have_stand_ins_left(workers: WorkersHealth, at: datetime, told_at: datetime) -> bool:
    """Whether somebody stood in at first, and has been away for as long as a worker that is told of."""
    absent_since, unscanned_since = workers.absent_since, workers.unscanned_since
    if absent_since is None or unscanned_since is None or at - unscanned_since < WORKERS_AFTER:
        return False
    return unscanned_since > max(told_at, absent_since + WORKERS_AFTER)
