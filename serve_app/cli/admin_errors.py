"""What a command says, and ends with, when the service does not do what it asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from serve_app.cli.admin_connection import AdminError
from serve_app.cli.checking import ExitCode

Options = ParamSpec("Options")


def told(command: Callable[Options, None]) -> Callable[Options, None]:
    """``command``, which ends with the message of an :class:`AdminError` and exit code 2."""

    @functools.wraps(command)
    def run(*args: Options.args, **options: Options.kwargs) -> None:
        try:
            command(*args, **options)
        except AdminError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(ExitCode.ERRORS) from error

    return run
