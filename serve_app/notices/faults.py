"""Faults that may last for hours, and are looked at every few seconds: each is logged once."""

from __future__ import annotations

from serve_app.domain import in_words
from serve_app.logs import EventLogger

logger = EventLogger(__name__)


class Faults:
    """Those that last, by what they are of."""

    def __init__(self) -> None:
        self._lasting: dict[str, str] = {}

    def note(self, what: str, error: Exception) -> None:
        """Log that ``what`` happened, and why, unless the same was logged before."""
        words = in_words(error)
        if words != self._lasting.get(what):
            logger.error("notices_failed", f"{what}: {words}", what=what, why=words)
        self._lasting[what] = words

    def end(self, what: str) -> None:
        """It happens no longer: the next time, it is logged again."""
        self._lasting.pop(what, None)
