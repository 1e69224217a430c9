"""Lines for operators say what failed in words: no log call and no message names the class of an error."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
METHODS = {"debug", "info", "warning", "error", "critical", "exception", "log"}


def names_a_class(node: ast.AST, errors: set[str]) -> bool:
    """Whether this is ``type(error).__name__``, ``repr(error)`` or ``{error!r}``."""
    match node:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]), attr="__name__"):
            return name in errors
        case ast.Call(func=ast.Name(id="repr"), args=[ast.Name(id=name)]):
            return name in errors
        case ast.FormattedValue(value=ast.Name(id=name), conversion=conversion):
            return name in errors and conversion == ord("r")
        case _:
            return False


def texts(tree: ast.AST) -> Iterator[ast.AST]:
    """Every call of a logger, and every f-string."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr():
                yield node
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=method)) if method in METHODS:
                yield node


def test_no_line_names_the_class_of_an_error() -> None:
    found = set()
    for room in ("serve_app", "deployments"):
        for file in sorted((ROOT / room).rglob("*.py")):
            tree = ast.parse(file.read_text("utf-8"))
            caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
            for text in texts(tree):
                if any(names_a_class(node, caught | {"error"}) for node in ast.walk(text)):
                    found.add(f"{file.relative_to(ROOT)}:{text.lineno}")  # type: ignore[attr-defined]
    assert found == set()


def test_a_line_with_the_class_of_an_error_is_found() -> None:
    bad = ("logger.error('%s', type(error).__name__)", "f'{error!r}'", "f'{type(error).__name__}'")
    for source in bad:
        assert any(names_a_class(node, {"error"}) for text in texts(ast.parse(source)) for node in ast.walk(text))
