"""The ``pictwarden`` command before it has any commands."""

from __future__ import annotations

import typer


def application() -> typer.Typer:
    """A group of commands that looks the same whichever of them are in it."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        # Tracebacks show no values of variables, since the secret is one of them.
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",  # lines of a docstring are joined again
        help="Scan pictures with a running Pictwarden, serve in one process, and check policies, models and settings.",
    )
