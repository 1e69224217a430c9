"""``pictwarden hunt``: finds the pictures that were accepted, and would be rejected today."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.progress import progress_of
from serve_app.cli.serve_file import read_serve_file
from serve_app.cli.storage.ledger_errors import ledger_errors_in_words
from serve_app.composition.configuration import load_policies
from serve_app.database.location import locate
from serve_app.domain import Judgement, LemmyUnavailableError, PictwardenError, SettingsError
from serve_app.domain.lists import Match
from serve_app.host.actor import actor_name
from serve_app.ledger import open_archive
from serve_app.lemmy import Reporter, open_lemmy
from serve_app.lists.opening import open_lists
from serve_app.policy import Policies
from serve_app.settings import Settings, parse_settings
from serve_app.storage import (
    Catcher,
    Caught,
    Hunter,
    Pace,
    Result,
    Suspect,
    hunt_entry,
    hunted_to,
    sought_entries,
)
from serve_app.storage.pending import MAX_LATER_IN_A_ROW

_NOTHING_NEW = "no entry has been added since the last hunt: `--all` looks for all of them"


@dataclass
class _Run:
    """What a run has done so far; ``sought`` says what it compares with."""

    settings: Settings
    is_purging: bool
    is_reporting: bool = False
    bodies: int = 0
    sought: str = ""
    counts: Counter[Result] = field(default_factory=Counter)

    @property
    def summary(self) -> str:
        """For people."""
        results = ", ".join(f"{self.counts[each]:,} {each}" for each in Result if self.counts[each])
        return f"{self.bodies:,} pictures compared with {self.sought}: {results or 'none is rejected'}"

    @property
    def left(self) -> int:
        """Pictures that are still stored, as far as anybody knows."""
        return self.counts[Result.REJECTED] + self.counts[Result.LATER]


def hunt(
    config: Annotated[
        Path, typer.Option(help="The configuration of the service, a file like serve_config.yaml.", show_default=False)
    ],
    bank: Annotated[
        str | None, typer.Option(help="Look for the entries of this bank alone.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Look for all entries, and not only for those since the last hunt.")
    ] = False,
    by_policy: Annotated[
        bool, typer.Option("--policy", help="Look for what the policy of today rejects, by the recorded scores.")
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Purge what is found from pict-rs. Without it, it is only shown.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Report the posts that show what is found in Lemmy's queue, and leave them there."
        ),
    ] = False,
) -> None:
    """Find the pictures that were accepted, and would be rejected today, without reading any of them again.

    The sha256 and the PDQ of every accepted picture are in the ledger. They are compared with the entries that have
    been added since the last hunt which left nothing to be done. With --policy, the policy of the configuration judges
    the recorded scores instead, which stay for 30 days; how many pictures cannot be judged is said. An entry that
    allows a picture protects it. No more than pictrs.max_purges_per_day pictures are purged in a day. With --report the
    moderators of the posts that show a picture decide: it is reported once, and stays in pict-rs.

    Exit code: 0 if nothing is left to be done, 1 if rejected pictures are still in pict-rs, 2 if something failed, 130
    after Ctrl-C.
    """
    if sum((bank is not None, everything, by_policy)) > 1:
        raise typer.BadParameter("name one of --bank, --all and --policy")
    if purge and report:
        raise typer.BadParameter("name one of --purge and --report: moderators cannot look at what is purged")
    run: _Run | None = None
    try:
        run = _Run(parse_settings(read_serve_file(config)["applications"][0]["args"]), purge, report)
        with ledger_errors_in_words():
            asyncio.run(_hunt(run, bank, everything=everything, by_policy=by_policy))
    except PictwardenError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted: run the same command to begin again", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    finally:
        if run is not None and run.sought:
            typer.echo(run.summary)
    if run.counts[Result.REJECTED] and not purge:
        way_out = "give --purge in the place of --report" if report else "run the same command with --purge"
        typer.echo(f"to purge them, {way_out}")
    if run.counts[Result.LATER]:
        raise typer.Exit(ExitCode.ERRORS)
    if run.counts[Result.REJECTED]:
        raise typer.Exit(ExitCode.NOT_AS_WANTED)


async def _hunt(run: _Run, bank: str | None, *, everything: bool, by_policy: bool) -> None:
    settings = run.settings
    location = locate(settings.ledger)
    if location is None:
        raise SettingsError("`ledger: memory` lies in the service alone: name a database to find its decisions here")
    policies = load_policies(settings) if by_policy else None
    async with contextlib.AsyncExitStack() as opened:
        archive = opened.enter_context(contextlib.closing(open_archive(location)))
        lists = opened.enter_context(contextlib.closing(open_lists(location)))
        catcher = Catcher(settings, archive, actor_name(), _now, is_purging=run.is_purging)
        await opened.enter_async_context(catcher)
        reporter = None
        if run.is_reporting:
            reporter = Reporter(await opened.enter_async_context(open_lemmy(settings.lemmy)), archive)
        if settings.pictrs.url is not None or run.is_purging or run.is_reporting:
            await catcher.open()
        hunter = Hunter(settings, archive, archive.bodies, lambda: lists.snapshot, catcher, _now, lists.refresh)
        version = lists.snapshot.version
        if policies is not None:
            await _show(run, _by_policy(run, hunter, policies), reporter)
        else:
            since = 0 if everything or bank else (await hunted_to(archive)).lists_version
            sought = await asyncio.to_thread(sought_entries, lists, bank, since)
            if not sought.own_entries:
                typer.echo(_NOTHING_NEW if since else "there are no entries to look for")
                return
            run.sought = f"{sought.own_entries:,} entries"
            total = await asyncio.to_thread(archive.bodies.count_bodies)
            with _progress(run, total) as pace:
                await _show(run, hunter.by_lists(sought, pace), reporter)
        if catcher.passed_over:
            typer.echo(catcher.passed_over)
        if bank is None and not run.left:
            looked_for = {"lists_version": version} if policies is None else {"policies": policies.digests}
            await archive.audit(hunt_entry(_now(), actor_name(), run.counts[Result.PURGED], 0, **looked_for))


async def _by_policy(run: _Run, hunter: Hunter, policies: Policies) -> AsyncGenerator[Caught, None]:
    hunt = hunter.policy_hunt(policies)
    run.sought = " and ".join(f"the policy {policy}" for policy in policies.each)
    with _progress(run, await hunt.count()) as pace:
        async with contextlib.aclosing(hunter.by_policy(hunt, pace)) as found:
            async for caught in found:
                yield caught
    if hunt.unjudged.told:
        typer.echo(f"pictures that cannot be judged by their recorded scores: {hunt.unjudged.told}")


@contextlib.contextmanager
def _progress(run: _Run, total: int) -> Iterator[Pace]:
    with progress_of(Console(stderr=True), "pictures", total) as show:

        def note(bodies: int) -> None:
            run.bodies = bodies
            show(bodies)

        yield Pace(note)


async def _show(run: _Run, found: AsyncGenerator[Caught, None], reporter: Reporter | None) -> None:
    later = 0
    async with contextlib.aclosing(found):
        async for each in found:
            caught = each if reporter is None else await _reported(each, reporter)
            run.counts[caught.result] += 1
            typer.echo(_line(caught))
            later = later + 1 if caught.result is Result.LATER else 0
            if later >= MAX_LATER_IN_A_ROW:
                typer.echo(f"{later} pictures in a row had to be left for later: run the same command again", err=True)
                return


async def _reported(caught: Caught, reporter: Reporter) -> Caught:
    """What is found in pict-rs is reported, and stays. Where Lemmy does not answer, the next hunt reports it."""
    if caught.result is not Result.REJECTED or not caught.aliases:
        return caught
    try:
        reported = await reporter.report(
            caught.aliases, caught.suspect.recorded.decision.sha256, _reason(caught.suspect)
        )
    except LemmyUnavailableError as error:
        return replace(caught, result=Result.LATER, why=str(error))
    return replace(caught, why=reported.summary)


def _reason(suspect: Suspect) -> str:
    """For moderators."""
    match suspect.cause:
        case Match(entry=entry):
            return f"Pictwarden: entry {entry.id} of this instance's lists denies the picture: {entry.reason}"
        case Judgement(rule=rule, message=message):
            return f"Pictwarden: rule {rule} of this instance's policy rejects the picture: {message}"


def _line(caught: Caught) -> str:
    suspect = caught.suspect
    decision = suspect.recorded.decision
    names = " ".join(caught.aliases) or decision.sha256
    why = f"; {caught.why}" if caught.why else ""
    return f"{caught.result:<12} {names}  decision {decision.request_id}: {suspect.why}{why}"


def _now() -> datetime:
    return datetime.now(UTC)
