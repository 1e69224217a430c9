"""What a command says, and ends with, when the service does not do what it asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer
from pydantic import ValidationError

from serve_app.cli.admin.connection import AdminError
from serve_app.cli.exit_codes import ExitCode

Options = ParamSpec("Options")


def told(command: Callable[Options, None]) -> Callable[Options, None]:
    """``command``, which ends with the message of an :class:`AdminError`, or of a wrong text, and exit code 2."""

    @functools.wraps(command)
    def run(*args: Options.args, **options: Options.kwargs) -> None:
        try:
            command(*args, **options)
        except AdminError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(ExitCode.ERRORS) from error
        except ValidationError as error:
            raise typer.BadParameter(
                "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
            ) from error
        except UnicodeEncodeError as error:
            raise typer.BadParameter("the command line has bytes that are not UTF-8") from error

    return run
