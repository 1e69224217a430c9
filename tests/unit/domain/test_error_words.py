"""Errors in words: what failed, and nothing that a picture or a row may have put into the text of an error."""

from __future__ import annotations

import errno
import os

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

import serve_app.database.access  # noqa: F401 - it adds the errors of SQLAlchemy
from serve_app.domain import PolicyError, in_words
from serve_app.ledger.spool import FullSpoolError

SECRET = "a row"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PolicyError("the policy is wrong"), "the policy is wrong"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left on device"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (OSError(SECRET), "the system refused it"),
        (ConnectionError(SECRET), "the connection failed"),
        (TimeoutError(), "no answer in time"),
        (MemoryError(), "no memory is left"),
        (FullSpoolError("the ledger's spool is full"), "the ledger's spool is full"),
        (OperationalError("SELECT 1", None, Exception(f"database is locked\nDETAIL: {SECRET}")), "database is locked"),
        (OperationalError("SELECT 1", None, Exception()), "the database does not answer"),
        (IntegrityError("INSERT", None, Exception(SECRET)), "the database refuses what is to be written"),
        (PoolTimeoutError("QueuePool limit"), "no connection to the database was free in time"),
        (KeyError(SECRET), "a fault of this program"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_what_failed_is_said_without_the_name_of_a_class(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_of_an_error_that_nobody_foresaw_the_places_are_told() -> None:
    def fail() -> None:
        raise LookupError(SECRET)

    with pytest.raises(LookupError) as caught:
        fail()
    first, second = in_words(caught.value).removeprefix("a fault of this program at ").split(", ")
    assert first.startswith("test_error_words.py:")
    assert int(second.removeprefix("test_error_words.py:")) < int(first.removeprefix("test_error_words.py:"))
