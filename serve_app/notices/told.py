"""What admins were told already, as entries of the audit: so that no replica tells it again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from serve_app.domain import AuditEntry, NoticeKind
from serve_app.domain.archive import SERVICE

NOTICE: Final = "notice"
"""The action in the audit."""

REMEMBERED: Final = timedelta(days=2)
"""What lasts is told every day: an older entry says nothing about now."""

_COUNTED_TO: Final = "counted to"
_OVER: Final = "over"
_SINCE: Final = "since "


@dataclass(frozen=True, slots=True)
class Told:
    """One message: up to when it counts decisions, what it says has begun or lasts, since when, and what is over."""

    at: datetime
    counted_to: datetime | None = None
    lasting: Mapping[NoticeKind, datetime] = field(default_factory=dict)
    over: frozenset[NoticeKind] = frozenset()

    def entry(self) -> AuditEntry:
        """For the audit."""
        detail: dict[str, str | int] = {kind.value: _SINCE + since.isoformat() for kind, since in self.lasting.items()}
        detail |= {kind.value: _OVER for kind in sorted(self.over)}
        if self.counted_to is not None:
            detail[_COUNTED_TO] = self.counted_to.isoformat()
        return AuditEntry(self.at, SERVICE, NOTICE, detail)

    @classmethod
    def of_entry(cls, entry: AuditEntry) -> Told:
        """As :meth:`entry` wrote it; what another version has written, and this one cannot read, is left out."""
        lasting: dict[NoticeKind, datetime] = {}
        over: set[NoticeKind] = set()
        counted_to = None
        for key, value in entry.detail.items():
            with contextlib.suppress(ValueError):
                if key == _COUNTED_TO:
                    counted_to = _moment(value)
                elif value == _OVER:
                    over.add(NoticeKind(key))
                else:
                    lasting[NoticeKind(key)] = _moment(str(value).removeprefix(_SINCE))
        return cls(entry.at, counted_to, lasting, frozenset(over))


def told_in(entries: Iterable[AuditEntry]) -> list[Told]:
    """What the entries of the audit say, which are those of :data:`NOTICE`, oldest first."""
    return [Told.of_entry(each) for each in entries]


def _moment(text: str | int) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.utcoffset() is None:
        raise ValueError("a time needs an offset from UTC")
    return moment
