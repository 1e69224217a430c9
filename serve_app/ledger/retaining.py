"""Erases what is over, now and then, while this process holds the lease for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from serve_app.database.lease import RENEWED_EVERY_S
from serve_app.domain import Erased, in_words
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

PRUNED_EVERY_S = 600.0


class Retaining:
    """The work of a thread. The lease is renewed while it erases, too, which may take long."""

    def __init__(
        self,
        hold: Callable[[], bool],
        prune: Callable[[Callable[[], bool]], Erased],
        is_possible: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is erased yet.

        Args:
            hold: takes or renews the lease; False while another process holds it. It may raise.
            prune: erases what is over, for as long as its argument returns True. It may raise.
            is_possible: whether the database can be written.
            clock: in seconds.
        """
        self._hold = hold
        self._prune = prune
        self._is_possible = is_possible
        self._clock = clock
        self._renewed_s = 0.0

    def run(self, wait: Callable[[float], bool]) -> None:
        """Work until ``wait``, which waits for so many seconds, says that it is over."""
        next_prune_s = 0.0
        while not wait(RENEWED_EVERY_S):
            try:
                if self._is_possible() and self._renew() and self._clock() >= next_prune_s:
                    erased = self._prune(self._still_holds)
                    next_prune_s = self._clock() + PRUNED_EVERY_S
                    self._renew()
                    if erased != Erased():
                        text = f"the retention of {erased.decisions} decisions was over"
                        logger.info("decisions_erased", text, decisions=erased.decisions)
            except Exception as error:
                why = in_words(error)
                logger.error("decisions_not_erased", f"the ledger could not erase what is over ({why})", why=why)

    def _still_holds(self) -> bool:
        return self._clock() < self._renewed_s + RENEWED_EVERY_S or self._renew()

    def _renew(self) -> bool:
        self._renewed_s = self._clock()
        return self._hold()
