"""Who runs a command, for the audit."""

from __future__ import annotations

import getpass
import os


def actor_name() -> str:
    """The user of this process: the name, or the number of one without a name, as a container may have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
