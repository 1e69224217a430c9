"""How to add an optional part of Pictwarden to an installation: no package index has it, so it comes from a clone."""

from __future__ import annotations

import shlex
import sys


def how_to_install(*extras: str) -> str:
    """What an error message tells the admin to do, for the environment that this process runs in.

    The installation stays editable, as ``make`` made it: otherwise ``pictwarden serve`` would go on with the old code
    after a ``git pull``.

    Args:
        extras: names from ``[project.optional-dependencies]`` of ``pyproject.toml``.
    """
    command = f"{shlex.quote(sys.executable)} -m pip install -e '.[{','.join(extras)}]'"
    return f"run `{command}` in a clone of Pictwarden"
