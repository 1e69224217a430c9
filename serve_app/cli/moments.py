"""Times as people write them in options, and as they read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d{1,9})([smhdw])")

WAY_OUT = "write a time such as 2026-11-25T18:00:00Z, or a duration before now such as 90m, 36h or 30d"


def moment(text: str, now: datetime | None = None) -> datetime:
    """The time that ``text`` names: RFC 3339, or a duration before ``now``. A time without an offset is local time.

    Raises:
        ValueError: it is neither; the message says what to write.
    """
    given = text.strip()
    now = now or datetime.now(UTC)
    try:
        duration = _DURATION.fullmatch(given.lower())
        if duration:
            return now - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        return datetime.fromisoformat(given).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is not a time: {WAY_OUT}") from error


EXPIRY_WAY_OUT = "write a time such as 2027-11-25T18:00:00Z, or a duration from now such as 36h or 90d"


def expiry(text: str, now: datetime | None = None) -> datetime:
    """The time that ``text`` names: RFC 3339, or a duration after ``now``. A time without an offset is local time.

    Raises:
        ValueError: it is neither, or it is over; the message says what to write.
    """
    now = now or datetime.now(UTC)
    try:
        named = moment(text, now)
        at = now + (now - named) if _DURATION.fullmatch(text.strip().lower()) else named
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: {EXPIRY_WAY_OUT}") from error
    if at <= now:
        raise ValueError(f"{text!r} is over already: {EXPIRY_WAY_OUT}")
    return at


def local(at: datetime) -> str:
    """``at`` in this machine's time, with its offset."""
    return at.astimezone().isoformat(" ", "seconds")
