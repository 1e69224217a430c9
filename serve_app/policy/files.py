"""Where policies come from: a file, or one that ships inside the package (``shipped:NAME``)."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from serve_app.domain import PolicyError
from serve_app.policy.diagnostics import did_you_mean, quote
from serve_app.policy.parsing import parse_policy
from serve_app.policy.schema import Policy

SHIPPED_PREFIX = "shipped:"

_EARLIER_NAMES = {"minor-safety-vit-l-14-openai": "csam"}
"""Names of version 0.1.0, which configurations still have."""

MAX_FILE_BYTES = 1024 * 1024
"""A policy is a few kilobytes; a larger file is not one, and parsing it would take minutes."""


def load_policy(source: str | Path) -> Policy:
    """The policy in the file ``source``, or the shipped one that ``shipped:NAME`` names.

    Raises:
        PolicyError: there is no such policy, it cannot be read, or it is wrong.
    """
    if isinstance(source, str) and source.startswith(SHIPPED_PREFIX):
        return _parse(_find_shipped(source.removeprefix(SHIPPED_PREFIX)), source)
    path = Path(source)
    try:
        return _parse(path, str(source))
    except (FileNotFoundError, ValueError) as error:  # ValueError: no file can have such a name
        hint = f"; did you mean '{SHIPPED_PREFIX}{path.stem}'?" if path.stem in shipped_policies() else ""
        raise PolicyError(f"no policy file {quote(str(source))}{hint}") from error


def shipped_policies() -> tuple[str, ...]:
    """The names that ``shipped:`` knows, sorted."""
    return tuple(sorted(_shipped_files()))


def shipped_text(name: str) -> str:
    """The file of a policy that ships.

    Raises:
        PolicyError: none has this name.
    """
    return _find_shipped(name.removeprefix(SHIPPED_PREFIX)).read_text("utf-8")


def _shipped_files() -> dict[str, Traversable]:
    folder = resources.files("serve_app.policy").joinpath("shipped")
    return {each.name.removesuffix(".yaml"): each for each in folder.iterdir() if each.name.endswith(".yaml")}


def _find_shipped(name: str) -> Traversable:
    # Looked up by name, never joined to a path: the name may come from a configuration that others write.
    files = _shipped_files()
    name = _EARLIER_NAMES.get(name, name)
    if name in files:
        return files[name]
    known = f"shipped: {', '.join(sorted(files))}"
    raise PolicyError(f"no shipped policy {quote(name)}; {did_you_mean(name, files, known)}")


def _parse(file: Traversable | Path, file_name: str) -> Policy:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PolicyError(f"{file_name}: error: cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise PolicyError(f"{file_name}: error: larger than {MAX_FILE_BYTES} bytes, which is the limit")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{file_name}:{line}: error: not UTF-8 (byte {error.start} of the file)") from error
    return parse_policy(text, file_name)
