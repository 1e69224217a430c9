"""``pictwarden check``: sends pictures to a running service, and shows its answers to people and to scripts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.cli.check.canary import canary_fault, send_canary
from serve_app.cli.check.journal import Journal
from serve_app.cli.check.patience import Patience
from serve_app.cli.check.scan_table import scan_table, without_common_folder
from serve_app.cli.check.scanning import scan_all
from serve_app.cli.check.tally import MOST_SHOWN, Tally
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.interrupt import interruptible
from serve_app.cli.local_service import NO_SERVICE, ScanUrl, known_url
from serve_app.cli.pictures import pictures_in
from serve_app.cli.progress import progress
from serve_app.cli.report import print_notices, printable
from serve_app.domain import Lane


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, or folders of pictures.", show_default=False)
    ] = None,
    url: ScanUrl = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line as each answer arrives.")
    ] = False,
    shows_all: Annotated[
        bool, typer.Option("--all", help="Show accepted pictures too; by default only those that were not accepted.")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Append each answer to this file, one JSON object per line, and skip pictures that have a verdict in "
            "it. An interrupted command continues when you run it again. Unscanned pictures and pictures that changed "
            "are sent again.",
            show_default=False,
        ),
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="How many pictures to send at once.")] = 4,
    background: Annotated[bool, typer.Option("--background", help="Let uploads go first. For large folders.")] = False,
    canary: Annotated[
        bool,
        typer.Option("--canary", help="Send the harmless test picture of `pictwarden canary`, and nothing else."),
    ] = False,
) -> None:
    """Send pictures to a running service; show those that it did not accept, and a summary.

    A picture that is answered 503 is sent again up to four times, each time after the seconds that the service asks
    for. After 16 unscanned pictures in a row the command gives up.

    Exit code: 0 if every picture was accepted or flagged, 1 if any was rejected, 2 if any was not scanned or not sent,
    130 after Ctrl-C. Pictures that --resume skips count by their verdict. With --canary: 0 if it was refused as it must
    be, 1 if it was not.
    """
    errors = Console(stderr=True, highlight=False)
    if canary == bool(paths):
        raise typer.BadParameter("give pictures or folders, or --canary alone", param_hint="PATHS")
    if canary:
        raise typer.Exit(_check_canary(url, as_json, errors))
    run = _Run(at_once, Lane.BACKGROUND if background else Lane.LIVE, as_json, shows_all)
    try:
        with Journal.open(resume) if resume else contextlib.nullcontext() as journal:
            run.send(_scan_url(url), pictures_in(paths or []), journal, errors)
    except _NothingToAskError as error:
        _say(errors, str(error))
        raise typer.Exit(ExitCode.ERRORS) from error
    except FileNotFoundError as error:
        _say(errors, f"no such file or folder: {error}")
        raise typer.Exit(ExitCode.ERRORS) from error
    except OSError as error:
        _say(errors, f"{error.filename or resume}: {error.strerror}")
        raise typer.Exit(ExitCode.ERRORS) from error
    if not as_json:
        _print_report(run)
    for line in run.epilogue(resume):
        _say(errors, line)
    raise typer.Exit(run.exit_code)


def _check_canary(url: str | None, as_json: bool, errors: Console) -> int:
    try:
        scan = send_canary(_scan_url(url))
    except _NothingToAskError as error:
        _say(errors, str(error))
        return ExitCode.ERRORS
    if scan is None:
        return ExitCode.INTERRUPTED
    if as_json:
        typer.echo(json.dumps(scan.as_dict()))
    fault = canary_fault(scan)
    if fault:
        _say(errors, fault)
        return ExitCode.ERRORS if scan.is_error else ExitCode.NOT_AS_WANTED
    if not as_json:
        typer.echo("the canary was refused, as it must be: this service decodes pictures and asks its lists")
    return ExitCode.DONE


class _NothingToAskError(Exception):
    """No service is known."""


def _scan_url(given: str | None) -> str:
    url = given or known_url()
    if url is None:
        raise _NothingToAskError(NO_SERVICE)
    return url


class _Run:
    """One run of the command: its answers, and why it ended."""

    def __init__(self, at_once: int, lane: Lane, as_json: bool, shows_all: bool) -> None:
        self.tally = Tally(shows_all)
        self.kept_before = self.rejected_before = 0
        self._at_once = at_once
        self._lane = lane
        self._as_json = as_json
        self._is_interrupted = self._is_given_up = False

    def send(self, url: str, pictures: Iterator[Path], journal: Journal | None, console: Console) -> None:
        """Send until every picture is answered, Ctrl-C is pressed, or the service is given up."""
        unanswered = journal.unanswered(pictures) if journal else pictures
        # Lines that move on the same terminal are progress enough.
        is_shown = not (self._as_json and Console().is_terminal)
        with interruptible() as stop, progress(console, is_shown) as show:
            for scan in scan_all(url, unanswered, self._at_once, self._lane, Patience(), stop):
                self.tally.add(scan)
                if journal:
                    journal.add(scan)
                if self._as_json:
                    typer.echo(json.dumps(scan.as_dict()))
                show(self.tally)
                if self.tally.is_hopeless and not stop.is_set():
                    self._is_given_up = True
                    stop.set()
            self._is_interrupted = stop.is_set() and not self._is_given_up
        if journal:
            self.kept_before, self.rejected_before = journal.kept_before, journal.rejected_before

    @property
    def before(self) -> int:
        """Pictures that an earlier run has answered."""
        return self.kept_before + self.rejected_before

    @property
    def exit_code(self) -> ExitCode:
        """The worst that happened."""
        if self._is_interrupted:
            return ExitCode.INTERRUPTED
        if self._is_given_up or self.tally.unscanned or not self.tally.pictures + self.before:
            return ExitCode.ERRORS
        return ExitCode.NOT_AS_WANTED if self.tally.rejected + self.rejected_before else ExitCode.DONE

    def epilogue(self, resume: Path | None) -> Iterator[str]:
        """Lines for the end, beside the answers."""
        if not self.tally.pictures + self.before and not self._is_interrupted:
            yield "no files found"
        if self.before:
            yield (
                f"skipped {self.before:,} pictures that have a verdict in {resume}: "
                f"{self.kept_before:,} kept, {self.rejected_before:,} rejected"
            )
        way_on = "run the same command to continue" if resume else "with --resume FILE, a later run can continue"
        if self._is_given_up:
            yield f"gave up, because the service scans nothing ({self.tally.why_unscanned}): {way_on}"
        if self._is_interrupted:
            yield f"interrupted after {self.tally.pictures:,} pictures: {way_on}"


def _say(console: Console, line: str) -> None:
    # A file's name may hold brackets, which are Rich's markup, and must stay whole to be copied.
    console.print(line, style="red", markup=False, soft_wrap=True)


def _print_report(run: _Run) -> None:
    console = Console(highlight=False)
    folder, shown = without_common_folder(run.tally.shown())
    if folder:
        console.print(f"in {printable(folder)}:", markup=False, soft_wrap=True)
    if shown:
        console.print(scan_table(shown))
    if run.tally.is_cut:
        console.print(f"the table has at most {MOST_SHOWN:,} pictures of a kind; --json prints every answer")
    console.print(str(run.tally))
    print_notices(run.tally.notices, console)
