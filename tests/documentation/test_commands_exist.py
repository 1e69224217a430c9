"""Every command that the documentation names exists, and takes the options that it is given."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest
import typer

from benchmarks.__main__ import commands as benchmarks
from serve_app.cli.main import app
from tests.documentation.pages import PAGES, ROOT, fences, words_of_commands

KINDS = {"sh", "console", "text", "yaml", "json", "csv", "ini", "nginx", "caddy", "python"}

# Words for "one of them", in commands that are a pattern.
PLACEHOLDERS = {"NAME", "X"}

MODULES_OF_TARGETS = {"run": "deployments.run", "serve": "serve_app.cli serve"}


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_says_what_it_holds(page: str) -> None:
    assert [str(each) for each in fences(page) if each.kind not in KINDS] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page: str) -> None:
    for words in words_of_commands(page):
        require(words)


@pytest.mark.parametrize(
    "command",
    [
        "pictwarden chek pictures",
        "pictwarden check --recursive pictures",
        "pictwarden model fetch age --form age.whl",
        "make rum",
        "make bench-nothing",
        'make run ARGS="--modell csam"',
        "make bench-quick ARGS=--fast",
        "python -m benchmarks nothing",
        "python -m deployments.runs",
    ],
)
def test_a_command_that_is_wrong_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        require(shlex.split(command))


def require(words: Sequence[str]) -> None:
    """Fail unless the command exists and takes these options."""
    program, *rest = words
    match program.rpartition("/")[2]:
        case "pictwarden":
            require_typer(typer.main.get_command(app), rest)
        case "make":
            require_make(rest)
        case "python":
            require_module(rest[1:])


def require_make(words: Sequence[str]) -> None:
    targets = [each for each in words if "=" not in each]
    arguments = [word for each in words if each.startswith("ARGS=") for word in shlex.split(each.removeprefix("ARGS="))]
    for target in targets:
        if target.startswith("bench-"):
            require_module(["benchmarks", target.removeprefix("bench-"), *arguments])
        else:
            assert re.search(rf"^{re.escape(target)}:", makefile(), re.MULTILINE), f"make has no target {target!r}"
        if target in MODULES_OF_TARGETS and arguments:
            require_module([*MODULES_OF_TARGETS[target].split(), *arguments])


def makefile() -> str:
    """Our Makefile, with a target for each lock instead of the pattern for all of them."""
    text = (ROOT / "Makefile").read_text("utf-8")
    locks = "".join(f"\n.venv/{each.stem}.installed:" for each in (ROOT / "requirements").glob("*.lock"))
    return text + locks


def require_module(words: Sequence[str]) -> None:
    name, *arguments = words
    if name in {"pip", "venv", "pytest"}:
        return
    if name == "benchmarks":
        if not arguments or arguments[0] in PLACEHOLDERS:
            return
        benchmark, *arguments = arguments
        assert benchmark in benchmarks(), f"no benchmark is called {benchmark}"
        require_typer(single(import_module(f"benchmarks.{benchmark}").bench), arguments)
    elif name == "deployments.run":
        require_typer(single(import_module(name).run), arguments)
    elif name == "serve_app.cli":
        require_typer(typer.main.get_command(app), arguments)
    else:
        assert importlib.util.find_spec(name), f"there is no module {name}"


def single(function: Any) -> Any:
    """The command that a module makes of its one function."""
    application = typer.Typer(add_completion=False)
    application.command()(function)
    return typer.main.get_command(application)


def require_typer(command: Any, words: Sequence[str]) -> None:
    """Fail unless ``command`` has such a subcommand, which takes these options. Their values are not looked at."""
    rest = list(words)
    context = command.context_class(command, info_name="pictwarden")
    while rest and hasattr(command, "get_command"):
        name = rest.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name!r} in {' '.join(words)!r}"
        context = command.context_class(command, parent=context, info_name=name)
    try:
        command.make_parser(context).parse_args(rest)
    except Exception as error:  # of the parser's own library, which Typer brings under a private name
        raise AssertionError(f"{' '.join(words)}: {error}") from error
