"""``pictwarden policy replay``: recorded decisions, decided again by another policy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from serve_app.admin_api import ScoredDecisions
from serve_app.cli.admin.connection import AdminConnection
from serve_app.cli.admin.decisions import Json, Moment, moment_of
from serve_app.cli.admin.errors import told
from serve_app.cli.admin.recorded_scores import scored_decisions
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.interrupt import interruptible
from serve_app.cli.moments import WAY_OUT, local
from serve_app.cli.policy.policies import policy_errors
from serve_app.cli.policy.replay_report import json_of, print_replay
from serve_app.cli.progress import progress
from serve_app.policy import Replay, load_policy

# A page of ordinary photographs has a few hundred kilobytes; one of long animations under a long policy, megabytes.
_AT_ONCE = 500


@told
def policy_replay(
    file: Annotated[str, typer.Argument(help="The new policy: a file, or shipped:NAME.", show_default=False)],
    since: Annotated[str, typer.Option(help=f"Time: {WAY_OUT}.")] = "30d",
    until: Moment = None,
    as_json: Json = False,
) -> None:
    """Show which recorded decisions of a running service another policy would have made otherwise.

    Decides again over the recorded scores, which stay for 30 days; no picture is scanned, and nothing changes. Says
    which decisions could not be made again, and why. Ctrl-C shows what was decided again so far.

    Exit code: 0 if all were looked at, 2 after an error, 130 after Ctrl-C.
    """
    with policy_errors():
        replay = Replay(load_policy(file))
    asked = {"since": moment_of(since, "--since"), "until": moment_of(until, "--until")}
    params = {key: value.isoformat() for key, value in asked.items() if value is not None}
    is_whole = False
    with interruptible() as stop, progress(Console(stderr=True)) as show:
        for page in _pages(AdminConnection(), params, stop):
            for each in scored_decisions(page):
                replay.add(each)
            if page.decisions:
                looked_at, oldest = replay.replayed + replay.not_replayed, page.decisions[-1].decided_at
                show(f"{looked_at:,} decisions, back to {local(oldest)}")
            is_whole = page.cursor is None
    if as_json:
        typer.echo(json_of(replay, asked, is_whole=is_whole))
    else:
        print_replay(replay, is_whole=is_whole)
    if not is_whole:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _pages(service: AdminConnection, params: dict[str, str], stop: threading.Event) -> Iterator[ScoredDecisions]:
    """The recorded decisions, newest first, until the last one or until ``stop`` is set."""
    asked = {**params, "limit": str(_AT_ONCE)}
    while not stop.is_set():
        page = service.get(ScoredDecisions, "/scores", asked)
        yield page
        if page.cursor is None:
            return
        asked["cursor"] = page.cursor
