"""``pictwarden purges``: what was purged, by whom and why."""

from __future__ import annotations

from datetime import datetime

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.admin_api import PurgeRecord, Purges
from serve_app.cli.admin.connection import AdminConnection
from serve_app.cli.admin.decisions import Json, Moment, moment_of
from serve_app.cli.admin.errors import told
from serve_app.cli.moments import local


@told
def purges(since: Moment = None, as_json: Json = False) -> None:
    """List what was purged, by whom and why, the newest first; by default of the last 30 days.

    Each purge is recorded before it begins, with the aliases of its picture or the name of its file, and again when it
    is over.
    """
    begin: datetime | None = moment_of(since, "--since")
    found = AdminConnection().get(Purges, "/purges", {"since": begin.isoformat()} if begin else {}).purges
    if as_json:
        for each in found:
            typer.echo(each.model_dump_json())
        return
    Console().print(_table(found) if found else "nothing was purged")


def _table(found: list[PurgeRecord]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("purged", "by", "why", "sha256", "result"):
        table.add_column(heading, overflow="fold")
    for each in found:
        table.add_row(local(each.begun_at), Text(each.actor), Text(each.why), each.sha256, Text(_result(each)))
    return table


def _result(purge: PurgeRecord) -> str:
    if purge.problem is not None:
        return f"failed: {purge.problem}"
    if purge.ended_at is None:
        return f"not known to have ended; it began with {' '.join(purge.aliases) or 'no alias'}"
    purged = " ".join(purge.purged) or "it was gone already"
    return purged if purge.store is None else f"{purge.store}: {purged}"
