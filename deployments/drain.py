"""``python -m deployments.drain [CONFIG]``: on a node that is to end, before Ray ends.

The front end of the node refuses new connections, answers the pictures that it has, and ends. Then Serve starts the
node's replicas elsewhere and ends them here, since front ends of other nodes send pictures to them. The command returns
when none is left, or after a minute. On the head, replicas stay. ``PICTWARDEN_FOLDER`` names the folder of
:mod:`deployments.cluster_environment`.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from deployments.cluster_environment import FOLDER_ENV, settings_of
from deployments.haproxy.front_end import answer_what_is_inside, ray_folder
from deployments.ray_node import NodeError, move_replicas, worker_node
from serve_app.domain import ConfigurationError

MOVE_LIMIT_S = 60.0
"""A replica starts elsewhere within 30 s, and one of the ingress stays for 30 s after it was told to end."""


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
    # Afterwards, because Ray may end a node that has no replicas left, with the front end on it.
    if node := worker_node(ray_folder(Path(folder))):
        try:
            move_replicas(node, MOVE_LIMIT_S)
        except NodeError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
