"""``pictwarden backup``: copies the ledger while the service runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.serve_file import read_serve_file
from serve_app.database.location import locate
from serve_app.domain import ConfigurationError
from serve_app.ledger import back_up
from serve_app.settings import parse_settings


def backup(
    file: Annotated[Path, typer.Argument(help="The copy; it must not exist yet.", show_default=False)],
    config: Annotated[
        Path | None, typer.Option(help="The service's file like serve_config.yaml. Default: the default ledger.")
    ] = None,
) -> None:
    """Copy the ledger's SQLite database to a new file. The service may run meanwhile.

    To restore, stop the service, put the copy in the place of ledger.db, and remove ledger.db-wal and ledger.db-shm. A
    ledger in PostgreSQL is backed up with pg_dump.

    Exit code: 0 if the copy is whole, else 2.
    """
    try:
        args = read_serve_file(config)["applications"][0]["args"] if config else {}
        back_up(locate(parse_settings(args).ledger), file)
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    typer.echo(f"The ledger is copied to {file}, which only you can read.")
