"""``pictwarden notices test``: sends a test message to each address that notices go to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.serve_file import read_serve_file
from serve_app.domain import ConfigurationError, SettingsError
from serve_app.notices.addresses import addresses
from serve_app.notices.message import message_of
from serve_app.notices.sending import HOW_TO_INSTALL, AppriseProcess, Job, Outcome
from serve_app.notices.words import paragraph_of_test
from serve_app.settings import parse_settings


def notices_test(
    config: Annotated[
        Path | None, typer.Option(help="The service's file like serve_config.yaml. Default: the default settings.")
    ] = None,
) -> None:
    """Send a test message to each address that notices go to, and say what became of it.

    The addresses are in the environment, in PICTWARDEN_NOTICE_URLS unless notices.urls_env names another variable. Each
    is shown by its number, since it holds a secret.

    Exit code: 0 if every address took the message, 1 if one did not, 2 if there is none.
    """
    try:
        outcomes = asyncio.run(_send(config))
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    for each in outcomes:
        typer.echo(str(each))
    if any(each.problem is not None for each in outcomes):
        raise typer.Exit(ExitCode.NOT_AS_WANTED)


async def _send(config: Path | None) -> list[Outcome]:
    args = read_serve_file(config)["applications"][0]["args"] if config else {}
    variable = parse_settings(args).notices.urls_env
    urls = addresses(variable)
    if not urls:
        raise SettingsError(f"no address: set {variable} in the environment to the URLs of docs/notices.md")
    if not AppriseProcess.is_possible():
        raise ConfigurationError(HOW_TO_INSTALL)
    message = message_of([paragraph_of_test()])
    outcomes: list[Outcome] = []
    await AppriseProcess().send([Job(number, url, message) for number, url in enumerate(urls, 1)], outcomes.append)
    return sorted(outcomes, key=lambda each: each.number)
