"""The version of the tables: brought to this program's, or refused.

Alembic, which takes a third of a second to import, is imported only where there is something to migrate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, inspect, select

from serve_app.database.tables import schema_version
from serve_app.domain import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

SCHEMA_VERSION = 9
"""The number of the newest migration, whose tables this program knows."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def bring_up_to_date(connection: Connection) -> None:
    """Migrate the tables to :data:`SCHEMA_VERSION`, in the transaction of ``connection``, which holds the lock.

    Raises:
        ConfigurationError: the tables are newer than this program can use.
    """
    if require_usable(connection) < SCHEMA_VERSION:
        migrate(connection, SCHEMA_VERSION)


def require_usable(connection: Connection) -> int:
    """The version of the tables; 0 if there are none.

    Raises:
        ConfigurationError: they are newer than this program can use.
    """
    if not inspect(connection).has_table(schema_version.name):
        return 0
    row = connection.execute(select(schema_version)).one_or_none()
    if row is None:
        return 0
    version: int = row.version
    if row.oldest_compatible > SCHEMA_VERSION:
        raise ConfigurationError(
            f"the database has tables of version {version}, which need a program that knows version "
            f"{row.oldest_compatible}; this one knows {SCHEMA_VERSION}: install the newer Pictwarden again, or restore "
            "a backup from before the upgrade"
        )
    return version


def migrate(connection: Connection, version: int, migrations: Path = _MIGRATIONS) -> None:
    """Bring the tables to ``version``, up or down, in the transaction of ``connection``."""
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config(connection, migrations)
    present = require_usable(connection)
    go = command.upgrade if version > present else command.downgrade
    go(config, f"{version:04}" if version else "base")
    if version:
        connection.execute(delete(schema_version))
        oldest_compatible = _oldest_compatible(ScriptDirectory.from_config(config), version)
        connection.execute(insert(schema_version).values(version=version, oldest_compatible=oldest_compatible))


def _config(connection: Connection, migrations: Path) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _oldest_compatible(scripts: ScriptDirectory, version: int) -> int:
    oldest: int = scripts.get_revision(f"{version:04}").module.OLDEST_COMPATIBLE
    return oldest
