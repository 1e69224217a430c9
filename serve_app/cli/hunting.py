"""``pictwarden hunt``: finds the pictures that were accepted before the lists knew them."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from serve_app.cli.checking import ExitCode
from serve_app.cli.progress import progress_of
from serve_app.cli.serve_file import read_serve_file
from serve_app.database.location import locate
from serve_app.domain import AuditEntry, LemmyUnavailableError, PictwardenError, SettingsError
from serve_app.domain.lists import FingerprintType
from serve_app.ledger import open_archive
from serve_app.lemmy import Reporter, open_lemmy
from serve_app.lists.opening import open_lists
from serve_app.lists.snapshot import Snapshot
from serve_app.pictrs import PictrsClient, Purger, may_store, open_pictrs
from serve_app.settings import Settings, parse_settings
from serve_app.storage import Caught, Result, Suspect, catch, sought_entries, suspects

if TYPE_CHECKING:
    from serve_app.ledger.sql_archive import SqlArchive

HUNT = "hunt"
"""The action in the audit of a hunt that has left nothing in pict-rs: the next one begins behind its lists."""

_NOTHING_NEW = "no entry has been added since the last hunt: `--all` looks for all of them"

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class _Run:
    """What a run has done so far."""

    settings: Settings
    is_purging: bool
    is_reporting: bool = False
    bodies: int = 0
    entries: int = 0
    counts: Counter[Result] = field(default_factory=Counter)

    @property
    def summary(self) -> str:
        """For people."""
        results = ", ".join(f"{self.counts[each]:,} {each}" for each in Result if self.counts[each])
        compared = f"{self.bodies:,} pictures compared with {self.entries:,} entries"
        return f"{compared}: {results or 'none is denied'}"


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
    """Find the pictures that were accepted before a list denied them, without reading any of them again.

    The sha256 and the PDQ of every accepted picture are in the ledger. They are compared with the entries that have
    been added since the last hunt which left nothing to be done. An entry that allows a picture protects it. No more
    than pictrs.max_purges_per_day pictures are purged in a day. With --report the moderators of the posts that show a
    picture decide: it is reported once, and stays in pict-rs.

    Exit code: 0 if nothing is left to be done, 1 if denied pictures are still in pict-rs, 2 if something failed, 130
    after Ctrl-C.
    """
    if bank is not None and everything:
        raise typer.BadParameter("name one of --bank and --all")
    if purge and report:
        raise typer.BadParameter("name one of --purge and --report: moderators cannot look at what is purged")
    run: _Run | None = None
    try:
        run = _Run(parse_settings(read_serve_file(config)["applications"][0]["args"]), purge, report)
        asyncio.run(_hunt(run, bank, everything=everything))
    except PictwardenError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted: run the same command to begin again", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    finally:
        if run is not None and run.entries:
            typer.echo(run.summary)
    if run.counts[Result.REJECTED] and not purge:
        way_out = "give --purge in the place of --report" if report else "run the same command with --purge"
        typer.echo(f"to purge them, {way_out}")
    if run.counts[Result.LATER]:
        raise typer.Exit(ExitCode.ERRORS)
    if run.counts[Result.REJECTED]:
        raise typer.Exit(ExitCode.SOME_REJECTED)


async def _hunt(run: _Run, bank: str | None, *, everything: bool) -> None:
    location = locate(run.settings.ledger)
    if location is None:
        raise SettingsError("`ledger: memory` lies in the service alone: name a database to find its decisions here")
    async with contextlib.AsyncExitStack() as opened:
        archive = opened.enter_context(contextlib.closing(open_archive(location)))
        lists = opened.enter_context(contextlib.closing(open_lists(location)))
        pictrs = reporter = None
        if run.is_reporting:
            reporter = Reporter(await opened.enter_async_context(open_lemmy(run.settings.lemmy)), archive)
        if run.settings.pictrs.url is not None or run.is_purging or run.is_reporting:
            pictrs = await opened.enter_async_context(open_pictrs(run.settings.pictrs))
        since = 0 if everything or bank else await _hunted_to(archive)
        sought = await asyncio.to_thread(sought_entries, lists, bank, since)
        run.entries = sought.own_entries
        if not run.entries:
            typer.echo(_NOTHING_NEW if since else "there are no entries to look for")
            return
        async for each in _caught(run, archive, lists.snapshot, sought, pictrs):
            caught = each if reporter is None else await _reported(each, reporter)
            run.counts[caught.result] += 1
            typer.echo(_line(caught))
        is_clean = not (run.counts[Result.REJECTED] or run.counts[Result.LATER])
        if bank is None and is_clean:
            detail: dict[str, str | int] = {
                "lists_version": lists.snapshot.version,
                "purged": run.counts[Result.PURGED],
            }
            await archive.audit(AuditEntry(_now(), getpass.getuser(), HUNT, detail))


async def _caught(
    run: _Run, archive: SqlArchive, lists: Snapshot, sought: Snapshot, pictrs: PictrsClient | None
) -> AsyncIterator[Caught]:
    """What became of each suspect. The bodies are compared first: a progress bar, and the decisions beside it."""
    purger = None
    if run.is_purging and pictrs is not None:
        purger = Purger(pictrs, archive, getpass.getuser(), run.settings.pictrs.max_purges_per_day, _now)
    banks_of = {name: source.lists for name, source in run.settings.sources.items()}

    def lists_of(source: str) -> Snapshot:
        return lists.restricted_to(banks_of.get(source))

    total = await asyncio.to_thread(archive.count_bodies)
    with progress_of(Console(stderr=True), "pictures", total) as show:

        def note(bodies: int) -> None:
            run.bodies = bodies
            show(bodies)

        async for suspect in suspects(archive, sought, lists_of, _now(), note):
            yield await _became(suspect, run.settings, pictrs, archive, purger)


async def _became(
    suspect: Suspect, settings: Settings, pictrs: PictrsClient | None, archive: SqlArchive, purger: Purger | None
) -> Caught:
    if pictrs is None:
        return Caught(suspect, Result.REJECTED, why="set pictrs.url to find and purge it")
    if not may_store(settings.pictrs_source, suspect.recorded.decision):
        source = suspect.recorded.decision.source
        return Caught(suspect, Result.REJECTED, why=f"it is a picture of the source {source}: see pictrs.source")
    return await catch(suspect, pictrs, archive, purger, _now())


async def _reported(caught: Caught, reporter: Reporter) -> Caught:
    """What is found in pict-rs is reported, and stays. Where Lemmy does not answer, the next hunt reports it."""
    if caught.result is not Result.REJECTED or not caught.aliases:
        return caught
    entry, request_id = caught.suspect.match.entry, caught.suspect.recorded.decision.request_id
    reason = f"Pictwarden: entry {entry.id} of this instance's lists denies the picture: {entry.reason}"
    try:
        reported = await reporter.report(caught.aliases, request_id, reason)
    except LemmyUnavailableError as error:
        return replace(caught, result=Result.LATER, why=str(error))
    return replace(caught, why=reported.summary)


async def _hunted_to(archive: SqlArchive) -> int:
    """The version of the lists that the last hunt looked for; 0 if there was none."""
    hunts = await archive.audited(HUNT, _EVER)
    return int(hunts[-1].detail.get("lists_version", 0)) if hunts else 0


def _line(caught: Caught) -> str:
    recorded, match = caught.suspect.recorded, caught.suspect.match
    names = " ".join(caught.aliases) or recorded.decision.sha256
    how = f"pdq, {match.distance_bits} bits" if match.type is FingerprintType.PDQ else match.type
    entry = f"entry {match.entry.id} in bank {match.entry.bank} ({how}): {match.entry.reason}"
    why = f"; {caught.why}" if caught.why else ""
    return f"{caught.result:<12} {names}  decision {recorded.decision.request_id}: {entry}{why}"


def _now() -> datetime:
    return datetime.now(UTC)
