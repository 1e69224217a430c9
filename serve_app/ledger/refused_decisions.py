"""Pending decisions that nobody was told of in time: their pictures were refused, and they may be recorded later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, update

from serve_app.database.access import Database
from serve_app.database.moments import microseconds
from serve_app.database.tables import decisions

REFUSED = "refused: recorded too late"
"""How such a decision was dealt with."""

_LOOK_EVERY_S = 1.0

_LATEST_S = 60.0
"""Once everything is written, no decision is recorded as late as this."""

_MOST = 1000


class RefusedDecisions:
    """Their ids, and how they are set right once they are recorded. :meth:`note` is for another thread than the rest.

    An id that is lost, with its process or because there are too many, does no harm: a rescan finds no such picture.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._noted_s: dict[str, float] = {}
        self._next_look_s = 0.0

    def note(self, request_id: str) -> None:
        """The picture of this decision is refused; of too many, the oldest one is given up."""
        with self._lock:
            self._noted_s[request_id] = self._clock()
            if len(self._noted_s) > _MOST:
                del self._noted_s[next(iter(self._noted_s))]

    def is_due(self) -> bool:
        """Whether to look for them."""
        return bool(self._noted_s) and self._clock() >= self._next_look_s

    def correct(self, now: datetime, *, is_all_recorded: bool) -> None:
        """Of those that are recorded by now, say that their picture was not let through.

        ``is_all_recorded`` if nothing waits in a spool: what is not found for a minute then, is lost.
        """
        if not self.is_due():
            return
        self._next_look_s = self._clock() + _LOOK_EVERY_S
        with self._lock:
            noted_s = dict(self._noted_s)
        is_one = decisions.c.request_id.in_(list(noted_s)) & decisions.c.is_pending.is_(True)
        with self._database.reading() as connection:
            found = list(connection.execute(select(decisions.c.request_id).where(is_one)).scalars())
        if found:
            corrected = {"kept": False, "is_pending": False, "done_at_us": microseconds(now), "done_how": REFUSED}
            with self._database.writing() as connection:
                connection.execute(update(decisions).where(decisions.c.request_id.in_(found)).values(corrected))
        over_s = self._clock() - _LATEST_S
        lost = [each for each, at_s in noted_s.items() if is_all_recorded and at_s < over_s]
        with self._lock:
            for each in {*found, *lost}:
                self._noted_s.pop(each, None)
