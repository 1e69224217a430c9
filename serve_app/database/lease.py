"""Leases: of several programs that share a database, one does some work, and another one goes on when it dies."""

from __future__ import annotations

import uuid

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from serve_app.database.access import Database
from serve_app.database.tables import leases

LEASE_S = 25.0
"""Seconds for which a lease holds."""

_LEASE_US = int(LEASE_S * 1e6)

RENEWED_EVERY_S = 4.0
"""Seconds between two attempts to renew or to take it: so work moves within 30 s of its holder's death."""


class Lease:
    """The right to do the work ``name``. For threads that may wait for the database."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._holder = uuid.uuid4().hex

    def hold(self) -> bool:
        """Take or renew the lease; False while another program holds it.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be reached or written; the lease does not count as held.
        """
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        with self._database.writing() as connection:
            now_us = self._database.now_us(connection)
            taken = insert(leases).values(name=self._name, holder=self._holder, expires_at_us=now_us + _LEASE_US)
            taken = taken.on_conflict_do_update(
                index_elements=[leases.c.name],
                set_={"holder": taken.excluded.holder, "expires_at_us": taken.excluded.expires_at_us},
                where=(leases.c.holder == taken.excluded.holder) | (leases.c.expires_at_us < now_us),
            )
            return connection.execute(taken.returning(leases.c.name)).first() is not None

    def release(self) -> None:
        """Let another program take it at once."""
        mine = (leases.c.name == self._name) & (leases.c.holder == self._holder)
        with self._database.writing() as connection:
            connection.execute(delete(leases).where(mine))
