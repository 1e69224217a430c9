"""``pictwarden settings upgrade``: rewrites a configuration of an earlier version for this one."""

from __future__ import annotations

import difflib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from serve_app.cli.configuration.yaml_keys import KeyPath, NotEditableError, has_key, remove_key, rename_key
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.serve_file import parsed, read_text
from serve_app.domain import SettingsError
from serve_app.settings import parse_settings
from serve_app.settings.changes import CHANGES, Change, outdated, upgraded


def settings_upgrade(
    file: Annotated[
        Path, typer.Argument(help="A file like serve_config.yaml, or one with only its args.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes and write nothing.")] = False,
) -> None:
    """Rewrite a configuration of an earlier version for this one, and show the changes.

    Comments and the order of keys stay. The old file is saved as FILE.bak, or FILE.bak2, ... if that exists.

    Exit code: 0 if the file is right for this version, 1 if --dry-run found keys of earlier versions, 2 if the file
    cannot be read or rewritten, or has another error.
    """
    try:
        before = read_text(file)
        changes = _changes(before, str(file))
        after = upgraded_text(before, str(file))
        for line in _report(before, after, str(file), changes):
            typer.echo(line)
        if changes and not dry_run:
            backup = _replace(file.resolve(), after)
            typer.echo(f"{file} is rewritten; the old file is {backup}")
        for args in _each_args(parsed(after, str(file)), str(file)).values():
            parse_settings(args)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    except OSError as error:
        typer.echo(f"{error.filename or file}: {error.strerror}", err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    if changes and dry_run:
        raise typer.Exit(ExitCode.NOT_AS_WANTED)


def upgraded_text(text: str, name: str) -> str:
    """A configuration with the keys of this version; the same text if it has no others.

    Args:
        text: of the form of ``serve_config.yaml``, or its args alone.
        name: of the file, for errors.

    Raises:
        SettingsError: the text is not a configuration, or must be changed by hand.
    """
    document = parsed(text, name)
    after = text
    changes = _changes(text, name)
    if not changes:
        return text
    try:
        for root in _each_args(document, name):
            for change in CHANGES:
                after = _without(after, root, change)
        # The text was edited as text, so that its values are compared with the right ones.
        is_right = not _changes(after, name) and _rewritten(parsed(after, name)) == _rewritten(document)
    except (NotEditableError, SettingsError, RecursionError):  # the last for a mapping that contains itself
        is_right = False
    if not is_right:
        lines = "\n".join(f"  {change}" for change in changes)
        raise SettingsError(
            f"{name}: change these keys by hand, because the file has aliases or several keys on a line:\n{lines}"
        )
    return after


def _without(text: str, root: KeyPath, change: Change) -> str:
    old = (*root, *change.key.split("."))
    new = (*root, *change.new_key.split(".")) if change.new_key else None
    while has_key(text, old):
        is_free = new is not None and not has_key(text, new)
        text = rename_key(text, old, new, root) if new and is_free else remove_key(text, old, root)
    return text


def _each_args(document: Any, name: str) -> dict[tuple[str | int, ...], Mapping[str, Any]]:
    """The args in a configuration, by their path in it.

    Raises:
        SettingsError: it is not a configuration.
    """
    if document is None:  # all keys are optional
        return {}
    if not isinstance(document, Mapping):
        raise SettingsError(f"{name}: is neither a configuration nor a mapping of settings: see serve_config.yaml")
    if "applications" not in document:
        return {(): document}
    applications = document["applications"]
    if not isinstance(applications, list) or not all(isinstance(each, Mapping) for each in applications):
        raise SettingsError(f"{name}: `applications` must be a list of applications: see serve_config.yaml")
    each_args = {("applications", place, "args"): each.get("args") for place, each in enumerate(applications)}
    return {path: args for path, args in each_args.items() if isinstance(args, Mapping)}


def _rewritten(document: Any) -> Any:
    """The values of a configuration with the keys of this version."""
    if not isinstance(document, Mapping) or "applications" not in document:
        return upgraded(document or {})
    applications = [{**each, "args": upgraded(each.get("args") or {})} for each in document["applications"]]
    return {**document, "applications": applications}


def _changes(text: str, name: str) -> list[Change]:
    """The changes that a configuration needs, each once."""
    found = [each for args in _each_args(parsed(text, name), name).values() for each in outdated(args)]
    return list(dict.fromkeys(found))


def _report(before: str, after: str, name: str, changes: list[Change]) -> Iterator[str]:
    if not changes:
        yield f"{name}: no keys of earlier versions"
        return
    old, new = before.splitlines(), after.splitlines()
    yield from difflib.unified_diff(old, new, name, name, lineterm="")
    yield ""
    yield from map(str, changes)


def _replace(file: Path, text: str) -> Path:
    """Replace the file in one step, with the same mode; return the copy of the old one."""
    names = (file.with_name(f"{file.name}.bak{number if number > 1 else ''}") for number in itertools.count(1))
    backup = next(each for each in names if not each.exists())
    shutil.copy2(file, backup)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(file, temporary)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return backup
