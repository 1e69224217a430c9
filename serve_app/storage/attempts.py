"""When what was left is worth another look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from serve_app.storage.rescan import Finding, Result

_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)


class Attempts:
    """The attempts of one process at decisions that were left, so that none is made every minute for ever."""

    def __init__(self, wall_clock: Callable[[], datetime]) -> None:
        self._wall_clock = wall_clock
        self._waits: dict[str, timedelta] = {}
        self._next: dict[str, datetime] = {}

    def is_due(self, request_id: str) -> bool:
        """Whether to try this decision now."""
        due = self._next.get(request_id)
        return due is None or self._wall_clock() >= due

    def note(self, finding: Finding) -> None:
        """An attempt has ended.

        A picture that could not be scanned waits for twice as long each time. One that is rejected, and still stored,
        waits for the next day (UTC): that has a new quota of purges, and brings a reminder where nothing is purged.
        """
        request_id, now = finding.decision.request_id, self._wall_clock().astimezone(UTC)
        if finding.result.is_done:
            self._next.pop(request_id, None)
            self._waits.pop(request_id, None)
        elif finding.result is Result.REJECTED:
            self._next[request_id] = next_day(now)
            self._waits.pop(request_id, None)
        else:
            wait = self._waits.get(request_id, _FIRST_WAIT)
            self._next[request_id] = now + wait
            self._waits[request_id] = min(2 * wait, _LONGEST_WAIT)

    def retry_unscanned(self) -> None:
        """Whatever could not be scanned is due: who scans is another one now. What is rejected waits all the same."""
        for request_id in self._waits:
            self._next.pop(request_id, None)
        self._waits.clear()


class NextAttempt:
    """The next attempt at all that was left together."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._wait = _FIRST_WAIT

    @property
    def is_waiting(self) -> bool:
        """Whether anything was left."""
        return self._at is not None

    def is_due(self, now: datetime) -> bool:
        """Whether to try it now."""
        return self._at is not None and now >= self._at

    def note(self, now: datetime, *, is_soon: bool) -> None:
        """Something was left: ``is_soon`` if another attempt may end better, else the next day (UTC) has a new quota.

        Each wait is twice as long as the one before.
        """
        at = next_day(now)
        if is_soon:
            at = min(at, now + self._wait)
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
        self._at = at if self._at is None or self._at <= now else min(self._at, at)

    def forget(self) -> None:
        """Nothing is left."""
        self._at, self._wait = None, _FIRST_WAIT


def next_day(now: datetime) -> datetime:
    """The midnight, UTC, at which a day with a new quota of purges begins."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
