"""What failed at a database, in words. This imports no library of any database."""

from __future__ import annotations

import sqlite3


def in_words(error: Exception) -> str:
    """Why a database could not be used, for a log line.

    Never the text of PostgreSQL's errors: it repeats values of rows, among which may be fingerprints under contract.
    """
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's
    state = getattr(cause, "sqlstate", None)
    match cause:
        case sqlite3.Error():
            return f"SQLite: {cause}"
        case TimeoutError():
            return "no answer in time"
        case OSError(strerror=str(why)):
            return why.lower()
        case OSError():
            return "no connection"
        case _ if state:
            return f"PostgreSQL refused, SQLSTATE {state}"
        case _ if cause is not error:
            return "no connection to PostgreSQL"
        case _:
            return "an internal fault"
