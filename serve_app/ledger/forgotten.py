"""Decisions that waited in a spool while an admin had them forgotten: the audit says which."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from serve_app.database.moments import microseconds
from serve_app.database.tables import decisions
from serve_app.domain import FORGET
from serve_app.ledger.encoding import body_key
from serve_app.ledger.entries import Entry
from serve_app.ledger.queries import audited
from serve_app.ledger.rows import Row

# The clock of the machine that decided may be ahead of that of the one that forgot. A decision on a picture that came
# again within this time is lost instead, if it waited in a spool: a promise to forget counts for more.
_CLOCKS_APART_US = 60_000_000


def without_forgotten(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """Those entries whose decision nobody has forgotten, or begun to forget, after it was made or a minute before."""
    rows = [entry.rows[decisions.name] for entry in entries]
    earliest_us = min(row["decided_at_us"] for row in rows) - _CLOCKS_APART_US
    scopes = [(found.at_us, json.loads(found.detail)) for found in connection.execute(audited(FORGET, earliest_us))]
    return [
        entry
        for entry, row in zip(entries, rows, strict=True)
        if not any(
            row["decided_at_us"] <= at_us + _CLOCKS_APART_US and _includes(scope, row) for at_us, scope in scopes
        )
    ]


def _includes(scope: Mapping[str, str], row: Row) -> bool:
    """As :meth:`serve_app.domain.ForgetScope.includes`, of what the audit and a spool have."""
    if "before" in scope:
        is_before: bool = row["decided_at_us"] < microseconds(datetime.fromisoformat(scope["before"]))
        return is_before
    if "source" in scope:
        return bool(row["source"] == scope["source"])
    return bool(row["sha256"] == body_key(scope["sha256"]))
