"""``pictwarden storage scan``: has every picture of a store scanned."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import getpass
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from serve_app.cli.checking import ExitCode
from serve_app.cli.decisions import Moment, moment_of
from serve_app.cli.interrupt import interruptible_loop
from serve_app.cli.local_service import NO_SERVICE, ScanUrl, known_url
from serve_app.cli.progress import Show, rate_of
from serve_app.cli.serve_file import read_serve_file
from serve_app.cli.storage_report import Config, SourceUrl, database_of
from serve_app.domain import PictwardenError, SettingsError
from serve_app.ledger import open_archive
from serve_app.purges import QuotaOfPurges
from serve_app.settings import Settings
from serve_app.storage import open_door
from serve_app.storage.layouts import LAYOUTS, Layout
from serve_app.storage.rescan import Scanner
from serve_app.storage.scan.disposal import Disposal, OnReject, Removal, Report
from serve_app.storage.scan.of_software import SoftwareDisposal, SoftwareSource
from serve_app.storage.scan.opening import open_source
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.report import as_json, told_name
from serve_app.storage.scan.run import Progress, StorageScan, Terms
from serve_app.storage.scan.source import Source, Wanted
from serve_app.storage.scan.watch import watch_store

_SHOWN = (
    FileOutcome.FLAGGED,
    FileOutcome.REJECTED,
    FileOutcome.PURGED,
    FileOutcome.QUARANTINED,
    FileOutcome.UNREADABLE,
    FileOutcome.LATER,
)


# typer makes choices of an enumeration alone.
Software = enum.StrEnum("Software", {name.upper(): name for name in LAYOUTS})  # type: ignore[misc]


@dataclass
class _Run:
    """What the command was told, and what it has done so far."""

    settings: Settings
    source: str
    wanted: Wanted
    terms: Terms
    on_reject: OnReject
    quarantine: str | None
    layout: Layout | None
    url: str | None
    is_local: bool
    is_watching: bool
    prints_json: bool
    progress: Progress = field(default_factory=Progress)
    is_interrupted: bool = False

    def note(self, record: FileRecord) -> None:
        """Show what became of a file."""
        if self.prints_json:
            typer.echo(as_json(record))
        elif record.outcome in _SHOWN:
            typer.echo(f"{record.outcome:<12} {told_name(record)}{record.why and f': {record.why}'}")

    @property
    def summary(self) -> str:
        """For people."""
        done, skipped = self.progress.done, self.progress.skipped.total()
        results = ", ".join(f"{done[each]:,} {each}" for each in FileOutcome if done[each])
        before = f"; {skipped:,} were done before" if skipped else ""
        return f"{done.total():,} file{'s' * (done.total() != 1)}{results and f': {results}'}{before}"


def storage_scan(
    source: SourceUrl,
    config: Config,
    on_reject: Annotated[
        OnReject, typer.Option(help="What is done with rejected pictures. Without it they are only shown.")
    ] = OnReject.REPORT,
    quarantine: Annotated[
        str | None,
        typer.Option(
            help="With --on-reject quarantine, of a folder or a bucket: where rejected pictures go, below the store.",
            show_default=False,
        ),
    ] = None,
    software: Annotated[
        Software | None,
        typer.Option(
            help="Whose storage it is: only its originals and cached files are scanned, only cached ones are removed, "
            "and for all others the command of that software is shown.",
            show_default=False,
        ),
    ] = None,
    since: Moment = None,
    minutes: Annotated[
        int | None, typer.Option(min=1, help="Only what has changed within so many minutes.", show_default=False)
    ] = None,
    prefix: Annotated[str, typer.Option(help="Only files whose names begin with this.", show_default=False)] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="No more than so many files.", show_default=False)] = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Begin with what changed last. pict-rs has no other order.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Scan files again that an earlier run has done.")] = False,
    threads: Annotated[int, typer.Option(min=1, max=64, help="How many files to scan at once.")] = 4,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--dry_run", help="Touch nothing, whatever --on-reject says.")
    ] = False,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", "--skip_unreadable", help="Files that cannot be read are no failure."),
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Scan in this process, with a model of its own, without a service.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C: scan new files within a minute.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line as each file is done.")
    ] = False,
    url: ScanUrl = None,
) -> None:
    """Have every picture of SOURCE scanned: pict-rs, a folder, a bucket, a folder of another machine.

    SOURCE is pictrs: (or pictrs:http://HOST:PORT), file:/PATH, s3://BUCKET/PREFIX or sftp://USER@HOST/PATH. The running
    service scans, and uploads go first. What is done is in a journal in the ledger's database: after Ctrl-C, or
    whatever else ended it, the same command goes on, and files that have changed are scanned again. Nothing is removed
    unless --on-reject says so, never what could not be scanned, and no more than pictrs.max_purges_per_day in a day.

    Exit code: 0 if no rejected picture is left, 1 if some are, 2 if any file could not be scanned or read, 130 after
    Ctrl-C. `pictwarden storage report` lists what was found.
    """
    if since is not None and minutes is not None:
        raise typer.BadParameter("name one of --since and --minutes")
    if (on_reject is OnReject.QUARANTINE) < (quarantine is not None):
        raise typer.BadParameter("--quarantine goes with --on-reject quarantine")
    begin = moment_of(since, "--since") or (datetime.now(UTC) - timedelta(minutes=minutes) if minutes else None)
    run: _Run | None = None
    try:
        args = read_serve_file(config)["applications"][0]["args"]
        settings = _settings_of(args, is_complete=local)
        run = _Run(
            settings,
            source,
            Wanted(prefix, begin, newest_first),
            Terms(settings.limits.max_body_bytes, threads, is_again=everything, limit=limit),
            OnReject.REPORT if dry_run else on_reject,
            quarantine,
            LAYOUTS[software] if software else None,
            url or known_url(),
            local,
            watch,
            as_json,
        )
        asyncio.run(_scan(run))
    except PictwardenError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    finally:
        if run is not None and run.progress.files:
            typer.echo(run.summary, err=as_json)
    _end(run, skip_unreadable=skip_unreadable)


def _end(run: _Run, *, skip_unreadable: bool) -> None:
    done, quota = run.progress.done, run.settings.pictrs.max_purges_per_day
    if run.is_interrupted:
        typer.echo("interrupted: run the same command to continue", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED)
    if run.progress.is_quota_used_up:
        typer.echo(
            f"today's quota of {quota:,} purges is used up: run the same command tomorrow, or with a larger "
            "pictrs.max_purges_per_day, or with --on-reject report to scan on",
            err=True,
        )
        raise typer.Exit(ExitCode.SOME_REJECTED)
    if done[FileOutcome.LATER] or (done[FileOutcome.UNREADABLE] and not skip_unreadable):
        raise typer.Exit(ExitCode.ERRORS)
    if done[FileOutcome.REJECTED] + run.progress.skipped[FileOutcome.REJECTED]:
        if run.on_reject is OnReject.REPORT:
            typer.echo("to remove what was rejected, run the same command with --on-reject purge", err=True)
        raise typer.Exit(ExitCode.SOME_REJECTED)


async def _scan(run: _Run) -> None:
    # Libraries of databases take half a second to import.
    from serve_app.storage.scan.journal import open_journal

    location = database_of(run.settings)
    async with contextlib.AsyncExitStack() as opened:
        source = open_source(run.source, run.quarantine)
        source = source if run.layout is None else SoftwareSource(source, run.layout)
        opened.push_async_callback(source.close)
        scanner = await opened.enter_async_context(_scanner(run))
        archive = opened.enter_context(contextlib.closing(open_archive(location)))
        journal = opened.enter_context(contextlib.closing(open_journal(location, source.url)))
        most = run.settings.pictrs.max_purges_per_day
        quota = QuotaOfPurges(archive, getpass.getuser(), most, lambda: datetime.now(UTC))
        removal = Removal(source, quota, run.on_reject)
        stop = opened.enter_context(interruptible_loop())
        show = opened.enter_context(rate_of(Console(stderr=True, highlight=False), "files", not _moves(run)))

        def begin(on_reject: OnReject) -> StorageScan:
            disposal: Disposal = Report() if on_reject is OnReject.REPORT else removal
            if run.layout is not None:
                disposal = SoftwareDisposal(disposal, run.layout)
            return StorageScan(source, journal, scanner, disposal, run.terms, run.progress)

        if run.is_watching:
            await watch_store(lambda: begin(run.on_reject), run.wanted, stop, _noting(run, show))
        else:
            await _scan_once(run, source, begin, stop, show)
        run.is_interrupted = stop.is_set() and not run.progress.is_quota_used_up


def _moves(run: _Run) -> bool:
    """Whether the lines of the command move on the terminal by themselves."""
    return run.prints_json and sys.stdout.isatty()


def _noting(run: _Run, show: Show, total: Callable[[], int | None] = lambda: None) -> Callable[[FileRecord], None]:
    def note(record: FileRecord) -> None:
        run.note(record)
        done = run.progress.done
        found = ", ".join(f"{done[each]:,} {each}" for each in _SHOWN if done[each])
        show(run.progress.files, total(), found)

    return note


async def _scan_once(
    run: _Run,
    source: Source,
    begin: Callable[[OnReject], StorageScan],
    stop: asyncio.Event,
    show: Show,
) -> None:
    counting = asyncio.create_task(source.count(run.wanted))

    def total() -> int | None:
        is_known = counting.done() and not counting.cancelled() and counting.exception() is None
        return counting.result() if is_known and run.terms.limit is None else None

    try:
        note = _noting(run, show, total)
        await begin(run.on_reject).run(run.wanted, stop, note)
        if run.progress.is_quota_used_up and _goes_on(run):
            run.progress.is_quota_used_up = False
            stop.clear()
            await begin(OnReject.REPORT).run(run.wanted, stop, note)
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


def _goes_on(run: _Run) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    quota = run.settings.pictrs.max_purges_per_day
    return typer.confirm(f"Today's quota of {quota:,} purges is used up. Scan on, and remove nothing?", err=True)


def _settings_of(args: dict[str, object], *, is_complete: bool) -> Settings:
    from serve_app.configuration import read_args
    from serve_app.settings import parse_settings

    return read_args(args)[0] if is_complete else parse_settings(args)


@contextlib.asynccontextmanager
async def _scanner(run: _Run) -> AsyncIterator[Scanner]:
    """The running service, or a model of this process."""
    if not run.is_local:
        if run.url is None:
            raise SettingsError(f"{NO_SERVICE}; or scan in this process with --local")
        async with open_door(run.url) as door:
            yield door
        return
    # What scans takes seconds to import.
    from serve_app.configuration import load_source_policies
    from serve_app.policy import load_policy
    from serve_app.standalone import moderating
    from serve_app.storage.in_service import ModeratorScanner

    settings = run.settings
    policy = load_policy(settings.policy_source)
    shadow = load_policy(settings.shadow_policy) if settings.shadow_policy is not None else None
    settings = settings.model_copy(update={"max_background_pictures": max(run.terms.at_once, 1)})
    async with moderating(settings, policy, shadow, load_source_policies(settings)) as moderator:
        yield ModeratorScanner(moderator, settings.deadline_s)
