"""The rows of a whole table, page by page, in the cheapest order, with no transaction open between pages."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, literal_column, select, text, tuple_

from serve_app.database.access import Database
from serve_app.domain import UnavailableError

_FETCHED_ROWS = 500

_REBUILT = text("PRAGMA schema_version")
"""A number of SQLite's that changes where its file is rebuilt, which may renumber rows."""


def pages(
    database: Database,
    table: Table,
    columns: Sequence[ColumnElement[Any]],
    condition: ColumnElement[bool] | None = None,
    *,
    rows_at_once: int,
    bytes_at_once: int,
) -> Generator[list[list[Any]], None, None]:
    """The columns of the rows of each page, in any order. What is written meanwhile may be left out. For a thread.

    Args:
        database: that has the table.
        table: of which all rows are read.
        columns: of the rows; the last one is the one whose size matters.
        condition: rows that do not fulfil it are left out.
        rows_at_once: in one page, at most.
        bytes_at_once: a page ends at the row whose last column reaches it.

    Raises:
        UnavailableError: SQLite's file was rebuilt meanwhile.
    """
    key = _key(database, table)
    wanted = select(*key, *columns).order_by(*key).limit(rows_at_once)
    if condition is not None:
        wanted = wanted.where(condition)
    rebuilt = None
    after = wanted
    while True:
        # A cursor of PostgreSQL's needs a transaction.
        with database.reading_one_moment() as connection:
            if database.is_sqlite:
                rebuilt = _require_same(rebuilt, connection.execute(_REBUILT).scalar_one())
            page = _page(connection, after, len(key) + len(columns), bytes_at_once)
        if not page[0]:
            return
        after = wanted.where(tuple_(*key) > tuple(column[-1] for column in page[: len(key)]))
        yield page[len(key) :]


def _key(database: Database, table: Table) -> Sequence[ColumnElement[Any]]:
    """What orders the rows.

    By the number that SQLite gives a row, rows come as they lie in its file, and by a digest each from somewhere else.
    PostgreSQL has no such number that an update leaves, so that a row could be missed.
    """
    return [literal_column("rowid", BigInteger)] if database.is_sqlite else list(table.primary_key.columns)


def _require_same(before: int | None, rebuilt: int) -> int:
    if before not in (None, rebuilt):
        raise UnavailableError("the ledger was rebuilt while it was read (by VACUUM or an upgrade): start again")
    return rebuilt


def _page(connection: Connection, wanted: Select[Any], width: int, bytes_at_once: int) -> list[list[Any]]:
    page: list[list[Any]] = [[] for _ in range(width)]
    size_bytes = 0
    with connection.execution_options(yield_per=_FETCHED_ROWS).execute(wanted) as found:
        # No row for itself: to hand over and keep a million of them takes longer than to read them.
        for rows in found.partitions():
            for column, values in zip(page, zip(*rows, strict=True), strict=True):
                column.extend(values)
            size_bytes += sum(map(len, page[-1][-len(rows) :]))
            if size_bytes >= bytes_at_once:
                break
    while size_bytes - len(page[-1][-1] if page[-1] else b"") >= bytes_at_once:
        size_bytes -= len(page[-1][-1])
        for column in page:
            column.pop()
    return page
