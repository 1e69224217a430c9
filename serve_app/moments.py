"""Moments and durations as a person writes them: ``2026-01-31T12:00:00Z``, ``30d``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_FORMS = "write a moment with its offset from UTC, 2026-01-31T12:00:00Z, a day, 2026-01-31, or a time ago, 30d, 12h, 5m"


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that a person names, in UTC.

    Args:
        text: a moment of RFC 3339; a day, which begins at midnight in UTC; or how long ago it was.
        now: from which a duration counts back.

    Raises:
        ValueError: it is none of these; the message has the forms.
    """
    given = text.strip()
    if duration := _DURATION.fullmatch(given):
        try:
            return now.astimezone(UTC) - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        except OverflowError:
            raise ValueError(f"{given} is before all time: {_FORMS}") from None
    try:
        moment = datetime.fromisoformat(given.upper())
    except ValueError:
        raise ValueError(f"no moment: {_FORMS}") from None
    if moment.tzinfo is None:
        if ":" in given or len(given) > len("2026-01-31"):
            raise ValueError(f"no offset from UTC: {_FORMS}")
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
