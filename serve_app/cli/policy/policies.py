"""``pictwarden policy``: check a policy, show one that ships, and make one of what horde-safety decides with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from serve_app.cli.exit_codes import ExitCode
from serve_app.domain import PolicyError
from serve_app.policy import load_policy, shipped_policies, shipped_text
from serve_app.policy.horde_safety import installed_lists, policy_text


@contextmanager
def policy_errors() -> Iterator[None]:
    """Print the error of a wrong policy to the standard error, and end the command."""
    try:
        yield
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error


def policy_check(
    file: Annotated[str, typer.Argument(help="A policy file, or shipped:NAME.", show_default=False)],
) -> None:
    """Check a policy; show each error with its line and column.

    Exit code: 0 if the policy is right, else 2.
    """
    with policy_errors():
        policy = load_policy(file)
    rules, models = len(policy.rules), policy.models
    typer.echo(
        f"{policy}: {len(policy.concepts)} concepts, {rules} rule{'s' * (rules != 1)}, "
        f"for model{'s' * (len(models) != 1)} {', '.join(models)}"
    )
    typer.echo(str(policy.calibration or "not calibrated: no error rate is claimed"))


def policy_show(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(shipped_policies())}.", show_default=False)],
) -> None:
    """Print a policy that ships, to copy it and change the copy."""
    with policy_errors():
        typer.echo(shipped_text(name), nl=False)


def policy_from_horde_safety() -> None:
    """Print what the installed horde-safety decides from CLIP as a policy.

    Install horde-safety beside this command, in an environment of its own (docs/policy.md).
    """
    with policy_errors():
        version, lists = installed_lists()
        typer.echo(policy_text(lists, version), nl=False)
