"""What a command says where the ledger fails while it works."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from serve_app.domain import PictwardenError, UnavailableError, in_words


@contextlib.contextmanager
def ledger_errors_in_words() -> Iterator[None]:
    """Turn errors of the ledger's database into one that commands show.

    Raises:
        UnavailableError: the database failed, or did not answer.
    """
    try:
        yield
    except (PictwardenError, OSError):
        raise
    except Exception as error:
        # Libraries of databases take half a second to import.
        from serve_app.database.access import is_outage

        if not is_outage(error):
            raise
        raise UnavailableError(f"the ledger cannot be read or written: {in_words(error)}") from error
