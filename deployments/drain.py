"""``python -m deployments.drain [CONFIG]``: on a node that is to end, before Ray ends.

The front end of the node refuses new connections, answers the pictures that it has, and ends. The command returns then,
or when no answer can come any more. ``PICTWARDEN_FOLDER`` names the folder of
:mod:`deployments.cluster_environment`.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from deployments.cluster_environment import FOLDER_ENV, settings_of
from deployments.haproxy.front_end import answer_what_is_inside
from serve_app.domain import ConfigurationError


def main() -> None:
    """Entry point."""
    folder = os.environ.get(FOLDER_ENV)
    if folder is None:
        sys.exit(f"set {FOLDER_ENV} to the folder that the node's Ray was started with")
    try:
        settings = settings_of(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except (ConfigurationError, OSError) as error:
        sys.exit(str(error))
    answer_what_is_inside(Path(folder), settings.deadline_s, threading.Event())


if __name__ == "__main__":
    main()
