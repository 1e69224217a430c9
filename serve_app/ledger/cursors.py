"""The order of decisions, and cursors into it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self

from serve_app.database.moments import microseconds
from serve_app.domain import DecisionPage, RecordedDecision


class Cursor(NamedTuple):
    """The place of a decision in their order: by time, and at one time by id."""

    decided_at_us: int
    request_id: str

    @classmethod
    def of(cls, recorded: RecordedDecision) -> Self:
        """The place of ``recorded``."""
        return cls(microseconds(recorded.decision.decided_at), recorded.decision.request_id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that was written as ``text``.

        Raises:
            ValueError: it is none.
        """
        number, separator, request_id = text.partition("-")
        if not separator or not number.isascii() or not number.isdigit() or len(number) > 18:
            raise ValueError("not a cursor of a page of decisions")
        return cls(int(number), request_id)

    def __str__(self) -> str:
        return f"{self.decided_at_us}-{self.request_id}"

    @classmethod
    def page(cls, found: Sequence[RecordedDecision], limit: int) -> DecisionPage:
        """The first ``limit`` of ``found``; the cursor is that of the last one, where more were found.

        Raises:
            ValueError: ``limit`` is not positive.
        """
        if limit < 1:
            raise ValueError("a page has at least one decision")
        shown = tuple(found[:limit])
        return DecisionPage(shown, str(cls.of(shown[-1])) if len(found) > limit else None)


def midnight_before(moment: datetime) -> datetime:
    """The beginning of the day, UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
