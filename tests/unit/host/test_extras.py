"""What the error messages say of a missing library is a command that works: nobody publishes Pictwarden on an index."""

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.host.extras import how_to_install

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]

TOLD = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(
            each
            for room in ("serve_app", "deployments", "examples")
            for each in (ROOT / room).rglob("*")
            if each.is_file()
        ),
        ROOT / "serve_config.yaml",
    ]
)
"""All that an admin reads: pages, messages, configurations."""

FROM_AN_INDEX = re.compile(r"\bpictwarden\[|\bpip install\b[^\n`]*?[\s'\"]pictwarden\b")
FROM_A_CLONE = re.compile(r"pip install [^\n`]*?'\.\[(?P<extras>[\w,-]+)\]'")


def texts() -> Iterator[tuple[Path, str]]:
    for file in TOLD:
        if file.suffix in {".md", ".py", ".yaml", ".service", ".example"} and file.name != "CHANGELOG.md":
            yield file.relative_to(ROOT), file.read_text("utf-8")


def test_no_page_and_no_message_installs_from_an_index() -> None:
    assert [(str(file), found[0]) for file, text in texts() for found in FROM_AN_INDEX.finditer(text)] == []


@pytest.mark.parametrize(
    "wrong", ["pip install 'pictwarden[age]'", "install the extra pictwarden[clip]", "uv pip install pictwarden"]
)
def test_an_installation_from_an_index_is_found(wrong: str) -> None:
    assert FROM_AN_INDEX.search(wrong)


def test_the_pages_name_extras_that_there_are() -> None:
    named = [
        (str(file), extra)
        for file, text in texts()
        for found in FROM_A_CLONE.finditer(text)
        for extra in found["extras"].split(",")
    ]
    assert named
    assert [each for each in named if each[1] not in EXTRAS] == []


def test_the_messages_name_extras_that_there_are() -> None:
    calls = [
        node
        for file in (ROOT / "serve_app").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == how_to_install.__name__
    ]
    named = {each.value for call in calls for each in call.args if isinstance(each, ast.Constant)}
    assert named >= {"age", "calibrate", "clip", "notices", "nsfw", "nsfwjs", "otel", "postgres", "train"}
    assert named <= set(EXTRAS)


def test_the_command_is_one_for_this_environment_and_keeps_the_clone_in_use() -> None:
    told = re.fullmatch(r"run `(.+)` in a clone of Pictwarden", how_to_install("clip", "train"))
    assert told
    assert shlex.split(told[1]) == [sys.executable, "-m", "pip", "install", "-e", ".[clip,train]"]
