"""The commands, their options and their exit codes."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from serve_app.cli.comparing import model_compare
from serve_app.cli.connection import URL_ENV, known_url
from serve_app.cli.report import scan_table, summary
from serve_app.cli.scanning import Scan, pictures_in, scan_all
from serve_app.domain import Lane, PolicyError
from serve_app.policy import load_policy

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Ask a running Pictwarden; check its policies.")
policy_app = typer.Typer(no_args_is_help=True, help="Policies.")
app.add_typer(policy_app, name="policy")
model_app = typer.Typer(no_args_is_help=True, help="Models and the engines that compute them.")
model_app.command("compare")(model_compare)
app.add_typer(model_app, name="model")


class ExitCode(enum.IntEnum):
    """What ``check`` tells a script."""

    ALL_KEPT = 0
    SOME_REJECTED = 1
    ERRORS = 2


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", show_default=False)],
    url: Annotated[
        str | None,
        typer.Option(envvar=URL_ENV, help="Scan URL with its secret; by default that of the local `make run`."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")] = False,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Pictures sent at once.")] = 4,
    background: Annotated[bool, typer.Option("--background", help="Let uploads go first; for large folders.")] = False,
) -> None:
    """Send pictures to a running service and show what it says.

    Exit code 0 if all are kept, 1 if the policy rejected any, 2 if any could not be looked at.
    """
    errors = Console(stderr=True)
    scan_url = url or known_url()
    if scan_url is None:
        errors.print("no service known here: start one with `make run`, or give its scan URL with --url", style="red")
        raise typer.Exit(ExitCode.ERRORS)
    try:
        pictures = pictures_in(paths)
    except FileNotFoundError as error:
        # A file's name may hold brackets, which are Rich's markup, and must stay whole to be copied.
        errors.print(f"no such file or folder: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    if not pictures:
        errors.print("no files found there", style="red")
        raise typer.Exit(ExitCode.ERRORS)
    scans = _scan_with_progress(scan_url, pictures, at_once, Lane.BACKGROUND if background else Lane.LIVE, errors)
    if as_json:
        for each in scans:
            typer.echo(json.dumps(each.as_dict()))
    else:
        _print_report(scans)
    raise typer.Exit(_exit_code(scans))


@policy_app.command("check")
def policy_check(
    file: Annotated[str, typer.Argument(help="A policy file, or `shipped:NAME`.", show_default=False)],
) -> None:
    """Say what is wrong with a policy, by line and column; exit code 0 if nothing is, else 2."""
    try:
        policy = load_policy(file)
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    rules = len(policy.rules)
    typer.echo(f"{policy}: {len(policy.concepts)} concepts, {rules} rule{'s' * (rules != 1)}, for model {policy.model}")


def _scan_with_progress(url: str, pictures: list[Path], at_once: int, lane: Lane, console: Console) -> list[Scan]:
    columns = (TextColumn("looking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        scans = list(progress.track(scan_all(url, pictures, at_once, lane), total=len(pictures)))
    order = {str(picture): place for place, picture in enumerate(pictures)}
    return sorted(scans, key=lambda each: order[each.picture])


def _print_report(scans: list[Scan]) -> None:
    console = Console()
    console.print(scan_table(scans))
    console.print(summary(scans))
    for notice in sorted({each.notice for each in scans if each.notice}):
        console.print(f"NOTE: {notice}", style="yellow", markup=False)


def _exit_code(scans: list[Scan]) -> ExitCode:
    if any(each.is_error for each in scans):
        return ExitCode.ERRORS
    return ExitCode.SOME_REJECTED if any(each.is_rejected for each in scans) else ExitCode.ALL_KEPT
