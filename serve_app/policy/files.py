"""Where policies come from: a file, one that ships inside the package (``shipped:NAME``), or horde-safety.

``installed:horde-safety`` is made from the package of that name, each time it is loaded.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from serve_app.domain import PolicyError
from serve_app.policy.diagnostics import did_you_mean, quote
from serve_app.policy.horde_safety import installed_lists, policy_text
from serve_app.policy.parsing import parse_policy
from serve_app.policy.schema import Policy

SHIPPED_PREFIX = "shipped:"
FROM_HORDE_SAFETY = "installed:horde-safety"

_EARLIER_NAMES = {"minor-safety-vit-l-14-openai": "csam"}
"""Names of version 0.1.0, which configurations still have."""

MAX_FILE_BYTES = 1024 * 1024
"""A policy is a few kilobytes; a larger file is not one, and parsing it would take minutes."""


def load_policy(source: str | Path) -> Policy:
    """The policy in the file ``source``, or the one that ``shipped:NAME`` or ``installed:horde-safety`` names.

    Raises:
        PolicyError: there is no such policy, it cannot be read or made, or it is wrong.
    """
    return parse_policy(text_of_policy(source), str(source))


def text_of_policy(source: str | Path) -> str:
    """The text of the policy that :func:`load_policy` reads.

    Raises:
        PolicyError: there is no such policy, or it cannot be read or made.
    """
    if source == FROM_HORDE_SAFETY:
        return _from_horde_safety()
    if isinstance(source, str) and source.startswith(SHIPPED_PREFIX):
        return _read(_find_shipped(source.removeprefix(SHIPPED_PREFIX)), source)
    path = Path(source)
    try:
        return _read(path, str(source))
    except (FileNotFoundError, ValueError) as error:  # ValueError: no file can have such a name
        hint = f"; did you mean '{SHIPPED_PREFIX}{path.stem}'?" if path.stem in shipped_policies() else ""
        raise PolicyError(f"no policy file {quote(str(source))}{hint}") from error


def _from_horde_safety() -> str:
    version, lists = installed_lists()
    return policy_text(lists, version)


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


def _read(file: Traversable | Path, file_name: str) -> str:
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
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{file_name}:{line}: error: not UTF-8 (byte {error.start} of the file)") from error
