"""The commands, each in a module of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from serve_app.cli.checking import ExitCode, check
from serve_app.cli.comparing import model_compare
from serve_app.cli.converting import model_convert
from serve_app.cli.decisions import decisions, forget, why
from serve_app.cli.serving import serve
from serve_app.cli.upgrading import settings_upgrade
from serve_app.domain import PolicyError
from serve_app.policy import load_policy

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # Tracebacks show no values of variables, since the secret is one of them.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a docstring are joined again
    help="Scan pictures with a running Pictwarden, serve in one process, and check policies, models and settings.",
)
app.command()(check)
app.command()(serve)
app.command()(decisions)
app.command()(why)
app.command()(forget)
policy_app = typer.Typer(no_args_is_help=True, help="Check policies.")
app.add_typer(policy_app, name="policy")
model_app = typer.Typer(no_args_is_help=True, help="Compare and convert models.")
model_app.command("compare")(model_compare)
model_app.command("convert")(model_convert)
app.add_typer(model_app, name="model")
settings_app = typer.Typer(no_args_is_help=True, help="Upgrade configuration files.")
settings_app.command("upgrade")(settings_upgrade)
app.add_typer(settings_app, name="settings")


@policy_app.command("check")
def policy_check(
    file: Annotated[str, typer.Argument(help="A policy file, or shipped:NAME.", show_default=False)],
) -> None:
    """Check a policy; show each error with its line and column.

    Exit code: 0 if the policy is right, else 2.
    """
    try:
        policy = load_policy(file)
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    rules = len(policy.rules)
    typer.echo(f"{policy}: {len(policy.concepts)} concepts, {rules} rule{'s' * (rules != 1)}, for model {policy.model}")
