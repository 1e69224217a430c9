"""``pictwarden storage report`` and ``pictwarden storage forget``: what scans have found in a store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.serve_file import read_serve_file
from serve_app.database.location import Location, locate
from serve_app.domain import PictwardenError, SettingsError
from serve_app.ledger import open_archive
from serve_app.lemmy import open_lemmy
from serve_app.settings import Settings, parse_settings
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.report import TOLD, as_json, as_markdown
from serve_app.storage.scan.stores.addresses import url_of

if TYPE_CHECKING:
    from serve_app.storage.scan.journal import ScanJournal

Config = Annotated[
    Path, typer.Option(help="The configuration of the service, a file like serve_config.yaml.", show_default=False)
]
_OF_PEOPLE = (FileOutcome.FLAGGED, FileOutcome.REJECTED, FileOutcome.PURGED, FileOutcome.QUARANTINED)

SourceUrl = Annotated[str, typer.Argument(metavar="SOURCE", help="The store.", show_default=False)]


def storage_report(
    config: Config,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="The store; by default, the only one.", show_default=False)
    ] = None,
    printed_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    who: Annotated[
        bool, typer.Option("--who", help="Ask Lemmy who uploaded each flagged, rejected or removed picture of pict-rs.")
    ] = False,
) -> None:
    """List what scans of a store have found, all runs together, as Markdown: counts, and what was not accepted."""
    with _told():
        settings = _settings(config)
        with _journal(settings, source) as journal:
            people = asyncio.run(_people(settings, journal)) if who else None
            records = (record for outcome in TOLD for record in journal.records(outcome))
            if printed_json:
                lines: Iterator[str] = (as_json(record, people) for record in records)
            else:
                lines = as_markdown(journal.url, journal.counts(), records, people)
            for line in lines:
                typer.echo(line)


def storage_forget(
    source: SourceUrl,
    config: Config,
) -> None:
    """Erase the journal of a store: the names of its files, and what became of them. The next scan begins anew."""
    with _told(), _journal(_settings(config), source) as journal:
        typer.echo(f"Erased what was known of {journal.forget():,} files.")


def database_of(settings: Settings) -> Location:
    """Where the journal is.

    Raises:
        SettingsError: it is in the memory of the service.
    """
    location = locate(settings.ledger)
    if location is None:
        raise SettingsError("`ledger: memory` lies in the service alone: name a database, where scans are recorded")
    return location


def _settings(config: Path) -> Settings:
    return parse_settings(read_serve_file(config)["applications"][0]["args"])


@contextlib.contextmanager
def _journal(settings: Settings, named: str | None) -> Iterator[ScanJournal]:
    # Libraries of databases take half a second to import.
    from serve_app.storage.scan.journal import journal_urls, open_journal

    location = database_of(settings)
    open_archive(location).close()  # it says where a ledger was looked for; the journal makes one
    url = _known(journal_urls(location), named, settings.pictrs.url)
    with contextlib.closing(open_journal(location, url)) as journal:
        yield journal


def _known(urls: Sequence[str], named: str | None, pictrs_url: str | None) -> str:
    if named is not None:
        url = named if named in urls else url_of(named, pictrs_url)
        if url in urls:
            return url
    if not urls:
        raise SettingsError("no store has been scanned yet: `pictwarden storage scan` does that")
    if named is None and len(urls) == 1:
        return urls[0]
    raise SettingsError("\n".join(["name one of these stores:", *urls]))


async def _people(settings: Settings, journal: ScanJournal) -> Mapping[str, str]:
    """Who uploaded what was found, by the aliases of pict-rs, as far as Lemmy lists it."""
    aliases = {alias for outcome in _OF_PEOPLE for each in journal.records(outcome) for alias in each.file.aliases}
    if not aliases:
        return {}
    async with open_lemmy(settings.lemmy) as lemmy:
        listed = await lemmy.uploads(aliases)
    if not listed.is_whole:
        typer.echo("Lemmy lists its newest uploads alone: who brought older ones is not known", err=True)
    return {each.alias: each.person for each in listed.uploads if each.thumbnail_of is None}


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except PictwardenError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
