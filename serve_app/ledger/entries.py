"""What is written for a decision: rows, in memory and as lines of a file."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from serve_app.database.access import Database
from serve_app.database.tables import contexts, decisions, fingerprints, label_scores, label_sets
from serve_app.domain import Decision
from serve_app.domain.limits import MediaKey
from serve_app.ledger.rows import Context, Row, decision_row, fingerprints_row, label_scores_row, rows_of

_SHARED = (label_sets.name, contexts.name)
_ADDED = (label_sets, contexts, decisions)
_REPLACED = (label_scores, fingerprints)
_COLUMNS = {table: tuple(table.columns.keys()) for table in (*_ADDED, *_REPLACED)}
_KEYS = {table: tuple(table.primary_key.columns.keys()) for table in _COLUMNS}


class Importance(enum.IntEnum):
    """Where there is no room for all decisions, the least important ones are lost first."""

    ACCEPTED = 0
    REFUSED = 1
    PENDING = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """The rows of one decision, by the name of their table."""

    rows: Mapping[str, Row]
    importance: Importance

    @classmethod
    def of(cls, decision: Decision, media_key: MediaKey) -> Entry:
        """What is written for ``decision``: of a recalled examination nothing, which keeps its retention."""
        context_row, label_set_row = rows_of(Context.of(decision, media_key))
        examination = decision.examination
        seen = None if examination is None or examination.is_recalled else examination
        key = context_row["context"]
        rows = {
            label_sets.name: label_set_row,
            contexts.name: context_row,
            decisions.name: decision_row(decision, key),
            label_scores.name: label_scores_row(decision, seen, context_row) if seen else None,
            fingerprints.name: fingerprints_row(decision, seen) if seen else None,
        }
        if decision.is_pending:
            importance = Importance.PENDING
        else:
            importance = Importance.ACCEPTED if decision.kept else Importance.REFUSED
        return cls({name: row for name, row in rows.items() if row is not None}, importance)

    @property
    def request_id(self) -> str:
        """Of the decision."""
        request_id: str = self.rows[decisions.name]["request_id"]
        return request_id

    @property
    def context(self) -> int:
        """The key of its row in ``contexts``."""
        key: int = self.rows[decisions.name]["context"]
        return key

    def line(self, *, with_shared: bool) -> bytes:
        """One line of JSON, with bytes in base64; ``with_shared`` with the rows that its context is made of."""
        rows = {name: row for name, row in self.rows.items() if with_shared or name not in _SHARED}
        return json.dumps([self.importance, rows], default=_to_json, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """The entry of a line.

        Raises:
            ValueError: it is not a whole one.
        """
        importance, rows = json.loads(line, object_hook=_from_json)
        if decisions.name not in rows:
            raise ValueError("an entry has a decision")
        return cls(rows, Importance(importance))


Choose = Callable[[Connection, Sequence[Entry]], Sequence[Entry]]
"""The entries to be written, chosen in the transaction that writes them."""


class EntryWriter:
    """Writes entries to a database, one statement a table. For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known_contexts: set[int] = set()
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        # Made once: to make them takes longer than to execute them.
        self._additions = {table: insert(table).on_conflict_do_nothing() for table in _ADDED}
        self._replacements = {table: _replacing(insert(table), table) for table in _REPLACED}

    def write(self, entries: Sequence[Entry], choose: Choose | None = None) -> None:
        """Commit entries; those of decisions that are recorded already change no decision.

        Rows that entries share come first, in a transaction of their own: in a spool, the first entry alone has them,
        and ``choose`` may leave that one out, or it may be at fault.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was written.
        """
        if not entries:
            return
        self._database.prepare()
        self._write_shared([entry for entry in entries if entry.context not in self._known_contexts])
        with self._database.writing() as connection:
            chosen = entries if choose is None else choose(connection, entries)
            rows = [_with_all_columns(decisions, entry.rows[decisions.name]) for entry in chosen]
            if rows:
                connection.execute(self._additions[decisions], rows)
            for table, replacement in self._replacements.items():
                if of_bodies := _by_key(table, chosen):
                    connection.execute(replacement, of_bodies)

    def _write_shared(self, entries: Sequence[Entry]) -> None:
        if not (new := _by_key(contexts, entries)):
            return
        with self._database.writing() as connection:
            if labels := _by_key(label_sets, entries):
                connection.execute(self._additions[label_sets], labels)
            connection.execute(self._additions[contexts], new)
        self._known_contexts |= {row["context"] for row in new}


def _replacing(inserted: sqlite.Insert | postgresql.Insert, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Rows that replace those of the same body."""
    keys = list(table.primary_key.columns)
    others = {column.name: inserted.excluded[column.name] for column in table.columns if column not in keys}
    return inserted.on_conflict_do_update(index_elements=keys, set_=others)


def _by_key(table: Table, entries: Sequence[Entry]) -> list[Row]:
    """The rows for ``table``, the last one of each key; in one order, or two writers could wait for each other."""
    rows = {tuple(row[key] for key in _KEYS[table]): row for entry in entries if (row := entry.rows.get(table.name))}
    return [_with_all_columns(table, rows[key]) for key in sorted(rows)]


def _with_all_columns(table: Table, row: Row) -> Row:
    """``row`` with the columns of this version: an earlier or a later one may have written it into a spool."""
    return {name: row.get(name) for name in _COLUMNS[table]}


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"{type(value).__name__} is not written to a spool")


def _from_json(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value
