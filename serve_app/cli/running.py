"""The ``pictwarden`` command as a process starts it: a service is loaded without the other commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from serve_app.cli.application import application


def run() -> None:
    """Run the command that the arguments of this process name."""
    _with_command(sys.argv[1] if len(sys.argv) > 1 else "")()


def _with_command(name: str) -> typer.Typer:
    # A service runs for months, and what only other commands use would stay in its memory.
    match name:
        case "serve":
            from serve_app.cli.launch.serving import serve

            return _alone(serve)
        case "worker":
            from serve_app.cli.launch.working import worker

            return _alone(worker)
        case _:
            from serve_app.cli.main import app

            return app


def _alone(command: Callable[..., None]) -> typer.Typer:
    app = application()
    app.callback()(lambda: None)  # else the only command of a group is the group
    app.command()(command)
    return app
