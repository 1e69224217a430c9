"""Where the database is: a file of this machine, or a PostgreSQL server."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from serve_app.domain import SettingsError
from serve_app.host.extras import how_to_install
from serve_app.host.state_folder import state_folder
from serve_app.settings.ledger import MEMORY, is_postgresql

_FILE = "ledger.db"


@dataclass(frozen=True, slots=True)
class Location:
    """A database: ``file`` for SQLite, ``url`` for PostgreSQL.

    ``spool_folder`` is for what cannot be written to it yet.
    """

    spool_folder: Path
    file: Path | None = None
    url: str = ""

    @property
    def name(self) -> str:
        """Of files that belong to it."""
        return self.file.name if self.file is not None else "ledger"

    def __str__(self) -> str:
        """For people."""
        if self.file is not None:
            return str(self.file)
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def locate(setting: str | None) -> Location | None:
    """Where the setting ``ledger`` puts the database; None for ``memory``. Every path is absolute.

    Raises:
        SettingsError: the setting is PostgreSQL's, and its driver is not installed.
    """
    if setting == MEMORY:
        return None
    if setting is None:
        setting = str(state_folder() / _FILE)
    if not is_postgresql(setting):
        file = Path(setting).absolute()
        return Location(file.parent, file)
    if importlib.util.find_spec("psycopg") is None:
        raise SettingsError(
            f"`ledger` names a PostgreSQL database, whose driver is not installed: {how_to_install('postgres')}"
        )
    return Location(state_folder().absolute(), url=setting)
