"""What a log says of a database that fails: words, and no value of a row."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError

from serve_app.database.failures import in_words


class _PostgresError(Exception):
    """As psycopg's, whose text may repeat values."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("Key (digest)=(\\x0123) already exists.")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (sqlite3.OperationalError("database or disk is full"), "SQLite: database or disk is full"),
        (_PostgresError("53100"), "PostgreSQL refused, SQLSTATE 53100"),
        (_PostgresError(None), "no connection to PostgreSQL"),
        (TimeoutError(), "no answer in time"),
    ],
)
def test_an_error_of_a_driver(cause: Exception, expected: str) -> None:
    wrapped = DBAPIError("INSERT INTO list_entries VALUES (?)", ("0123",), cause)
    assert in_words(wrapped) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "lists.index"), "no space left on device"),
        (ConnectionError(), "no connection"),
        (KeyError("0123"), "an internal fault"),
    ],
)
def test_another_error(error: Exception, expected: str) -> None:
    assert in_words(error) == expected
