"""Scores of workers elsewhere that are in doubt, wherever they come from: the audit says which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam

from serve_app.database.auditing import entry_of
from serve_app.database.moments import microseconds, moment_of
from serve_app.database.tables import fingerprints, label_scores
from serve_app.domain.workers import DISTRUST, LATE, Doubt, doubts_in
from serve_app.ledger.entries import Entry
from serve_app.ledger.queries import audited

_SINCE: Final = "since_us"
# Made once: every commit of what workers scored asks it.
_DISTRUSTS: Final = audited(DISTRUST, bindparam(_SINCE, type_=BigInteger))


def is_in_doubt(connection: Connection, worker: str | None, decided_at_us: int) -> bool:
    """Whether what a worker elsewhere scored for a decision of then is in doubt; of None, which is the service, not."""
    decided_at = moment_of(decided_at_us)
    return worker is not None and any(each.includes(worker, decided_at) for each in _doubts(connection, decided_at))


def without_distrusted(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """``entries`` without scores and fingerprints that are in doubt; their decisions stay."""
    moments = [scored[1] for entry in entries if (scored := _scored(entry))]
    doubts = _doubts(connection, min(moments)) if moments else []
    return [_without_doubted(entry, doubts) for entry in entries]


def has_scores_of_workers(entries: Sequence[Entry]) -> bool:
    """Whether a worker elsewhere has scored any of them."""
    return any(map(_scored, entries))


def _doubts(connection: Connection, earliest: datetime) -> list[Doubt]:
    """Those that can include decisions of ``earliest`` or later."""
    rows = connection.execute(_DISTRUSTS, {_SINCE: microseconds(earliest - LATE)})
    return doubts_in(map(entry_of, rows))


def _scored(entry: Entry) -> tuple[str, datetime] | None:
    """The worker, and when it was decided."""
    row = entry.rows.get(label_scores.name)
    worker = row.get("worker") if row else None  # an earlier version may have written it into a spool
    return None if row is None or worker is None else (worker, moment_of(row["recorded_at_us"]))


def _without_doubted(entry: Entry, doubts: Sequence[Doubt]) -> Entry:
    scored = _scored(entry)
    about = [doubt for doubt in doubts if scored is not None and doubt.includes(*scored)]
    if not about:
        return entry
    left_out = {label_scores.name}
    if any(doubt.has_decoded for doubt in about):
        left_out.add(fingerprints.name)
    return replace(entry, rows={name: row for name, row in entry.rows.items() if name not in left_out})
