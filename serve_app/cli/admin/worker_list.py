"""``pictwarden workers``: the workers that are connected to a service, and how to send one away."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.admin_api import WorkerRecord, Workers
from serve_app.cli.admin.connection import AdminConnection, path_segment
from serve_app.cli.admin.decisions import Json
from serve_app.cli.admin.errors import told
from serve_app.cli.moments import local
from serve_app.domain.workers import StandingIn, WorkerState

workers_app = typer.Typer(
    invoke_without_command=True, help="The workers that are connected to a running service (setting `remote`)."
)

_MEANWHILE: Final = {
    StandingIn.NOBODY: "No picture can be scanned.",
    StandingIn.SERVICE: "The service scans by itself (remote.fallback).",
    StandingIn.FEDI_SAFETY: "Workers of fedi-safety scan uploads.",
}


@workers_app.callback()
@told
def workers(context: typer.Context, as_json: Json = False) -> None:
    """List the workers that are connected to a running service, and say whether they score.

    A worker on trial gets no pictures until it has scored its first probe pictures rightly. A silent one gets none
    until it answers again, and a leaving one none any more.
    """
    if context.invoked_subcommand is not None:
        return
    found = AdminConnection().get(Workers, "/workers")
    if as_json:
        typer.echo(found.model_dump_json())
        return
    if found.workers:
        Console().print(_table(found.workers))
    for each in found.workers:
        typer.echo(f"{each.name}: {each.device}, {', '.join(each.models)}, version {each.version}")
    for line in _state(found):
        typer.echo(line)


@told
def workers_dismiss(
    name: Annotated[str, typer.Argument(help="OWNER/NAME, as `pictwarden workers` shows it.", show_default=False)],
) -> None:
    """Send a worker away: its pictures go to others, and its process ends.

    Whoever started it may start it again; systemd does so after a minute. To keep it away, take its secret out of
    PICTWARDEN_WORKER_SECRETS.
    """
    gone = AdminConnection().send(WorkerRecord, "DELETE", f"/workers/{path_segment(name)}")
    typer.echo(f"{gone.name} is dismissed; it had scored {gone.pictures:,} pictures since {local(gone.since)}.")


workers_app.command("dismiss")(workers_dismiss)


def _table(found: list[WorkerRecord]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("worker", "state", "since"):
        table.add_column(heading, no_wrap=heading != "worker", overflow="fold")
    for heading in ("pictures", "in flight", "view", "round trip"):
        table.add_column(heading, justify="right")
    for each in found:
        table.add_row(
            Text(each.name),
            each.state,
            each.since.astimezone().strftime("%m-%d %H:%M:%S"),
            *(f"{each.pictures:,}", f"{each.in_flight:,}", f"{each.view_ms:.2f} ms", f"{each.round_trip_ms:.0f} ms"),
        )
    return table


def _state(found: Workers) -> list[str]:
    if any(each.state is WorkerState.TRUSTED for each in found.workers):
        return []  # that workers are back is known after some seconds
    if found.absent_since is None:
        return [] if found.workers else ["No worker is connected."]
    who = "None of them gets pictures" if found.workers else "No worker is connected"
    return [f"{who}, since {local(found.absent_since)}.", _MEANWHILE[found.standing_in]]
