"""Phrases that notices have in common: counts, times, and names that somebody else has given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from serve_app.notices.incidents import Telling

MOST_CHARACTERS: Final = 60
"""Of a name that somebody else has given."""


def missed(telling: Telling) -> list[str]:
    """Incidents that were over before there was a message for them."""
    if not telling.missed:
        return []
    return [
        f"It happened {telling.missed:,} more {'time' if telling.missed == 1 else 'times'} since the last notice of it."
    ]


def shown(given: str | None) -> str:
    """In one line, and not too long."""
    plain = "".join(each if each.isprintable() else " " for each in given or "")
    return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 1] + "…"


def pictures(count: int) -> str:
    """``1 picture``, ``7 pictures``."""
    return f"{count:,} picture{'s' * (count != 1)}"


def was(count: int) -> str:
    """The verb for ``count`` of them."""
    return "was" if count == 1 else "were"


def some_of(count: int, total: int) -> str:
    """``count`` of ``total``, with their verb, at the beginning of a sentence."""
    if count == total:
        return "It was" if total == 1 else "All were"
    return f"{count:,} of them {was(count)}"


def pictures_were(count: int) -> str:
    """``1 picture was``, ``7 pictures were``."""
    return f"{pictures(count)} {was(count)}"


def span(since: datetime, until: datetime) -> str:
    """Between two moments, UTC."""
    return f"between {_between(since, until)}"


def from_to(telling: Telling) -> str:
    """Between the begin and the end of an incident, UTC."""
    return f"between {_between(telling.since, telling.until)}"


def _between(since: datetime, until: datetime) -> str:
    first, last = since.astimezone(UTC), until.astimezone(UTC)
    if first.date() == last.date():
        return f"{first:%H:%M} and {last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"


def command_span(since: datetime, until: datetime) -> str:
    """The options of a command that lists what lies between two moments."""
    return f"--since {moment_of(since)} --until {moment_of(until)}"


def moment_of(at: datetime) -> str:
    """``at`` as an option of a command takes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def time_of(at: datetime, now: datetime) -> str:
    """``at`` in UTC, which the log of a server has, too; the day where that is another one than ``now``."""
    ours = at.astimezone(UTC)
    is_of_today = ours.date() == now.astimezone(UTC).date()
    return f"{ours:%H:%M} UTC" if is_of_today else f"{ours:%Y-%m-%d %H:%M} UTC"


def ago(since: datetime, now: datetime) -> str:
    """At what time, and how long before ``now``."""
    minutes = int((now - since).total_seconds() // 60)
    return f"at {time_of(since, now)}" + (f", {_duration(now - since)} ago" if minutes else "")


def _duration(given: timedelta) -> str:
    minutes = int(given.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minute{'s' * (minutes != 1)}"
    hours = minutes // 60
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
