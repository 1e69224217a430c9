"""``pictwarden storage scan``: has every picture of a store scanned."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
import uvloop

from serve_app.cli.admin.decisions import Moment, moment_of
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.local_service import ScanUrl, known_url
from serve_app.cli.serve_file import read_serve_file
from serve_app.cli.storage.ledger_errors import ledger_errors_in_words
from serve_app.cli.storage.order import Order, carry_out
from serve_app.cli.storage.reporting import Config, SourceUrl
from serve_app.cli.storage.scan_progress import ScanShow
from serve_app.domain import PictwardenError, StorageUnavailableError, UnavailableError
from serve_app.domain.storable_text import printable
from serve_app.host.core_dumps import write_no_core
from serve_app.settings import Settings
from serve_app.storage.layouts import LAYOUTS
from serve_app.storage.scan.disposal import OnReject
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.run import Progress, Terms
from serve_app.storage.scan.source import Wanted

# typer makes choices of an enumeration alone.
Software = enum.StrEnum("Software", {name.upper(): name for name in (*LAYOUTS, "none")})  # type: ignore[misc]


def storage_scan(
    source: SourceUrl,
    config: Config,
    on_reject: Annotated[
        OnReject,
        typer.Option(
            help="What is done with rejected pictures: by default they are shown; lemmy: reported in its queue."
        ),
    ] = OnReject.REPORT,
    quarantine: Annotated[
        str | None,
        typer.Option(
            help="Below the store: where --on-reject quarantine moves rejected pictures, and what is not scanned.",
            show_default=False,
        ),
    ] = None,
    software: Annotated[
        Software | None,
        typer.Option(
            help="Whose storage it is: only its originals and cached files are scanned, only cached ones are removed, "
            "and for all others the command of that software is shown. none: no software owns these files.",
            show_default=False,
        ),
    ] = None,
    since: Moment = None,
    minutes: Annotated[
        int | None, typer.Option(min=1, help="Only what has changed within this many minutes.", show_default=False)
    ] = None,
    prefix: Annotated[str, typer.Option(help="Only files whose names begin with this.", show_default=False)] = "",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most this many files; those that an earlier run has done do not count.", show_default=False
        ),
    ] = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Begin with what changed last. pict-rs has no other order.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Scan files again that an earlier run has done.")] = False,
    threads: Annotated[int, typer.Option(min=1, max=64, help="How many files to scan at once.")] = 10,
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
    prints_json: Annotated[
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
    Ctrl-C; 0 where --watch is ended by Ctrl-C or SIGTERM. `pictwarden storage report` lists what was found.
    """
    if since is not None and minutes is not None:
        raise typer.BadParameter("name one of --since and --minutes")
    if watch and everything:
        raise typer.BadParameter("name one of --watch and --all")
    if watch and limit is not None:
        raise typer.BadParameter("name one of --watch and --limit")
    begin = moment_of(since, "--since") or (datetime.now(UTC) - timedelta(minutes=minutes) if minutes else None)
    write_no_core()  # of pictures that are read ahead
    progress = Progress()
    show = ScanShow(progress, prints_json=prints_json)
    try:
        args = read_serve_file(config)["applications"][0]["args"]
        settings = _settings_of(args, is_complete=local)
        order = Order(
            settings,
            source,
            Wanted(prefix, begin, newest_first),
            Terms(
                settings.limits.max_body_bytes,
                threads,
                small_together=max(1, threads // 2) if local else 1,  # a service may be far, and be idle meanwhile
                again_before=datetime.now(UTC) if everything else None,
                limit=limit,
            ),
            OnReject.REPORT if dry_run else on_reject,
            quarantine,
            LAYOUTS.get(software) if software else None,
            url or known_url(),
            local,
            watch,
            is_software_told=software is not None,
        )
        with ledger_errors_in_words():
            is_interrupted = uvloop.run(carry_out(order, progress, show))
    except PictwardenError as error:
        typer.echo(printable(str(error)), err=True)
        if progress.files and isinstance(error, UnavailableError | StorageUnavailableError):
            typer.echo(_how_to_go_on(everything), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    except KeyboardInterrupt:
        is_interrupted = True
    finally:
        if progress.files:
            typer.echo(show.summary, err=prints_json)
    if is_interrupted:
        if watch:
            return
        typer.echo(f"interrupted: {_how_to_go_on(everything)}", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED)
    _end(progress, order, skip_unreadable=skip_unreadable)


def _how_to_go_on(is_again: bool) -> str:
    if is_again:
        return "with --all the same command begins with the first file again; without it, it scans what never was"
    return "run the same command to continue"


def _end(progress: Progress, order: Order, *, skip_unreadable: bool) -> None:
    done = progress.done
    if progress.is_quota_used_up:
        typer.echo(
            f"today's quota of {order.settings.pictrs.max_purges_per_day:,} purges is used up: run the same command "
            "tomorrow, or with a larger pictrs.max_purges_per_day, or with --on-reject report to scan on",
            err=True,
        )
        raise typer.Exit(ExitCode.NOT_AS_WANTED)
    if done[FileOutcome.LATER] or (done[FileOutcome.UNREADABLE] and not skip_unreadable):
        raise typer.Exit(ExitCode.ERRORS)
    if done[FileOutcome.REJECTED] + progress.skipped[FileOutcome.REJECTED]:
        if order.on_reject is OnReject.REPORT:
            typer.echo("to remove what was rejected, run the same command with --on-reject purge", err=True)
        raise typer.Exit(ExitCode.NOT_AS_WANTED)


def _settings_of(args: dict[str, object], *, is_complete: bool) -> Settings:
    from serve_app.composition.configuration import read_args
    from serve_app.settings import parse_settings

    return read_args(args)[0] if is_complete else parse_settings(args)
