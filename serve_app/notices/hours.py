"""Which decisions are counted, and told together: those of whole hours, each in one message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from serve_app.domain import RESCAN_SOURCE, Lane, NoticeKind, Tally, UnscannedReason, Verdict
from serve_app.notices.facts import Counted
from serve_app.notices.told import Told
from serve_app.settings import NoticeSettings

LONGEST: Final = timedelta(days=1)
"""What could not be told within it, or was too little to be told, is not told."""

RECORDED_WITHIN: Final = timedelta(minutes=1)
"""An hour is counted once its last decisions are recorded."""

POSTPONED_FOR: Final = timedelta(minutes=15)
"""While decisions wait outside of the database, an hour is counted so long after its end, with those that are in it."""

_FOR_NOW: Final = (UnscannedReason.DEADLINE, UnscannedReason.OVERLOADED, UnscannedReason.UNAVAILABLE)
"""Other bytes can never be scanned: they are refused every day, and nobody can do anything about it."""


class Hours:
    """Up to which hour it is told."""

    def __init__(self, settings: NoticeSettings, told: Iterable[Told], at: datetime) -> None:
        """It goes on from what was ``told``; if no hour was, it begins a day before ``at``."""
        self._settings = settings
        known = [each.counted_to for each in told if each.counted_to is not None]
        self._told_to = max(known, default=_whole_hour(at - RECORDED_WITHIN) - LONGEST)
        self._looked_to = self._told_to

    def forget_after(self, at: datetime) -> None:
        """The clock was set back to ``at``: no hour that is to come was told."""
        latest = _whole_hour(at)
        self._told_to, self._looked_to = min(self._told_to, latest), min(self._looked_to, latest)

    def wanted(self, at: datetime, *, has_unrecorded: bool = False) -> tuple[datetime, datetime] | None:
        """The time that is to be counted now; None if no hour is over since the last look, or its decisions wait."""
        until = _whole_hour(at - (POSTPONED_FOR if has_unrecorded else RECORDED_WITHIN))
        if until <= self._looked_to or not {NoticeKind.REJECTED, NoticeKind.UNSCANNED} & set(self._settings.kinds):
            return None
        return max(self._told_to, until - LONGEST), until

    def due(self, tallies: Sequence[Tally], since: datetime, until: datetime) -> Counted | None:
        """What is to be told of the time that was :meth:`wanted`; None if that is not enough yet."""
        counted = counted_in(tallies, since, until)
        kinds = self._settings.kinds
        shown = Counted(
            counted.since,
            counted.until,
            counted.rejected if NoticeKind.REJECTED in kinds else (),
            counted.unscanned if NoticeKind.UNSCANNED in kinds else (),
        )
        enough = self._settings.pictures_at_least
        if max(shown.rejected_count, shown.unscanned_count) >= enough:
            return shown
        self._looked_to = until
        return None

    def note_failure(self, until: datetime) -> None:
        """It could not be counted: it is part of the next hour's count."""
        self._looked_to = until

    def note_told(self, counted: Counted) -> None:
        """It is told now, and not again."""
        self._told_to = self._looked_to = counted.until


def counted_in(tallies: Sequence[Tally], since: datetime, until: datetime) -> Counted:
    """What is told of ``tallies``: pictures of image servers. It begins with the hour of the first of them."""
    ours = [each for each in tallies if each.lane is Lane.LIVE or each.source == RESCAN_SOURCE]
    rejected = [each for each in ours if each.verdict is Verdict.REJECT]
    unscanned = [each for each in ours if each.reason in _FOR_NOW]
    first_at = min((each.first_at for each in (*rejected, *unscanned)), default=since)
    return Counted(max(since, _whole_hour(first_at)), until, rejected, unscanned)


def _whole_hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
