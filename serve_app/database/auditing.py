"""Entries of the audit, written in the transaction of what they tell, and read."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert

from serve_app.database.moments import microseconds, moment_of
from serve_app.database.tables import audit
from serve_app.domain import AuditEntry


def add_to_audit(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry, which is there if the transaction is committed."""
    row = {
        "at_us": microseconds(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "detail": json.dumps(dict(entry.detail), ensure_ascii=False),
    }
    connection.execute(insert(audit).values(row))


def entry_of(row: Any) -> AuditEntry:
    """The entry of a row of ``audit``."""
    return AuditEntry(moment_of(row.at_us), row.actor, row.action, json.loads(row.detail))
