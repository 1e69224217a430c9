"""The setting ``ledger``: where decisions are recorded."""

from __future__ import annotations

from urllib.parse import urlsplit

MEMORY = "memory"
"""The latest decisions of each process, lost when it ends."""

POSTGRESQL_SCHEMES = ("postgresql", "postgres")

_FORMS = "write null, a path such as /var/lib/pictwarden/ledger.db, postgresql://USER@HOST/DATABASE, or memory"


def ledger_setting(given: str | None) -> str | None:
    """The setting as a person writes it, checked; no message repeats it, since it may hold a password.

    Raises:
        ValueError: it is none of the forms, or it holds a password.
    """
    if given is None or given == MEMORY:
        return given
    if not given.strip() or "\0" in given:
        raise ValueError(_FORMS)
    if "://" not in given:
        return given
    try:
        url = urlsplit(given)
        _ = url.port
    except ValueError:
        raise ValueError(f"not a URL: {_FORMS}") from None
    if url.scheme not in POSTGRESQL_SCHEMES:
        raise ValueError(f"PostgreSQL is the only database with a URL: {_FORMS}")
    if url.password is not None or "password" in url.query.lower():
        raise ValueError(
            "a password does not belong in this file: it is read from PGPASSWORD in the environment of the service, or "
            "from the file that PGPASSWORD_FILE or PGPASSFILE names there"
        )
    return given


def is_postgresql(setting: str) -> bool:
    """Whether a setting that was checked names a PostgreSQL database."""
    return setting.partition("://")[0] in POSTGRESQL_SCHEMES
