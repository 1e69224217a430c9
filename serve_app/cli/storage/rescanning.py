"""``pictwarden rescan``: scans the pictures that were stored while they could not be scanned."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.local_service import NO_SERVICE, ScanUrl, known_url
from serve_app.cli.serve_file import read_serve_file
from serve_app.cli.storage.ledger_errors import ledger_errors_in_words
from serve_app.database.location import locate
from serve_app.domain import PictwardenError, SettingsError
from serve_app.host.actor import actor_name
from serve_app.ledger import open_archive
from serve_app.pictrs import Purger, open_pictrs
from serve_app.settings import Settings, parse_settings
from serve_app.storage import Finding, Rescanner, Result, open_door, rescan_pending

_SHOWN = (Result.PURGED, Result.UNSCANNABLE, Result.REJECTED, Result.LATER)


def rescan(
    config: Annotated[
        Path, typer.Option(help="The configuration of the service, a file like serve_config.yaml.", show_default=False)
    ],
    purges: Annotated[
        bool, typer.Option("--purge", help="Purge the rejected pictures from pict-rs. Without it they are only shown.")
    ] = False,
    url: ScanUrl = None,
) -> None:
    """Scan the pictures that were stored unscanned: find each in pict-rs, and have the running service scan it.

    Uploads go first. A picture that is scanned, purged or gone is done; the others wait for the next run, and so does
    the rest after Ctrl-C. The configuration names pict-rs (pictrs.url); its key is read from
    PICTWARDEN_PICTRS_API_KEY. No more than pictrs.max_purges_per_day pictures are purged in a day.

    Exit code: 0 if all are done, 1 if rejected pictures are still in pict-rs, 2 if any could not be scanned, 130 after
    Ctrl-C.
    """
    counts: Counter[Result] = Counter()
    try:
        with ledger_errors_in_words():
            asyncio.run(_rescan(_read(config), url or known_url(), counts, purges=purges))
    except PictwardenError as error:
        typer.echo(str(error), err=True)
        _show_summary(counts)
        raise typer.Exit(ExitCode.ERRORS) from error
    except KeyboardInterrupt as error:
        _show_summary(counts)
        typer.echo("interrupted: run the same command to continue", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    _show_summary(counts)
    if counts[Result.REJECTED] and not purges:
        typer.echo("to purge the rejected pictures, run the same command with --purge")
    if counts[Result.LATER]:
        raise typer.Exit(ExitCode.ERRORS)
    if counts[Result.REJECTED]:
        raise typer.Exit(ExitCode.NOT_AS_WANTED)


def _read(config: Path) -> Settings:
    args = read_serve_file(config)["applications"][0]["args"]
    return parse_settings(args)


async def _rescan(settings: Settings, scan_url: str | None, counts: Counter[Result], *, purges: bool) -> None:
    if scan_url is None:
        raise SettingsError(NO_SERVICE)
    async for finding in _findings(settings, scan_url, purges=purges):
        counts[finding.result] += 1
        if finding.result in _SHOWN:
            typer.echo(_line(finding))


async def _findings(settings: Settings, scan_url: str, *, purges: bool) -> AsyncIterator[Finding]:
    location = locate(settings.ledger)
    if location is None:
        raise SettingsError("`ledger: memory` lies in the service alone: name a database to find its decisions here")
    async with open_pictrs(settings.pictrs) as pictrs, open_door(scan_url) as door:
        with contextlib.closing(open_archive(location)) as archive:
            purger = Purger(pictrs, archive, actor_name(), settings.pictrs.max_purges_per_day, _now)
            rescanner = Rescanner(
                pictrs,
                door,
                settings.limits.max_body_bytes,
                purger if purges else None,
                of_source=settings.pictrs_source,
            )
            began = _now()
            async for finding in rescan_pending(archive, rescanner, lambda: began):
                yield finding


def _now() -> datetime:
    return datetime.now(UTC)


def _line(finding: Finding) -> str:
    names = " ".join(finding.aliases) or finding.decision.sha256
    return f"{finding.result:<12} {names}  decision {finding.decision.request_id}: {finding.why}"


def _show_summary(counts: Counter[Result]) -> None:
    results = ", ".join(f"{counts[result]:,} {result}" for result in Result if counts[result])
    total = counts.total()
    typer.echo(f"{total:,} pending decision{'s' * (total != 1)}" + (f": {results}" if results else ""))
