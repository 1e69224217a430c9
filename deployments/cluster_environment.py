"""``python -m deployments.cluster_environment [CONFIG]``: the environment of a cluster's Ray processes, for a shell.

``eval "$(python -m deployments.cluster_environment)"`` before ``ray start``, on each node. The output has no
secret: set ``RAY_AUTH_TOKEN`` too. The command creates a folder, unless ``PICTWARDEN_FOLDER`` names one.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from deployments.haproxy.front_end import front_end_settings, ray_folder
from deployments.private_folder import create_private_folder, require_private
from deployments.ray_environment import (
    FAST_SETTINGS,
    REPLICATED_INGRESS_SETTINGS,
    TOKEN_SETTINGS,
    message_settings,
)
from serve_app.cli.serve_file import read_serve_file
from serve_app.domain import ConfigurationError
from serve_app.settings import Settings, parse_settings

FOLDER_ENV = "PICTWARDEN_FOLDER"
RAY_FOLDER_ENV = "PICTWARDEN_RAY_FOLDER"


def main() -> None:
    """Entry point. On an error it prints nothing for the shell, so that HAProxy stays off."""
    try:
        for line in lines(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
            print(line)
    except (ConfigurationError, OSError) as error:
        sys.exit(str(error))


def lines(config: Path | None) -> list[str]:
    """Lines for a shell to evaluate.

    Args:
        config: of the form of ``serve_config.yaml``, for the deadline in HAProxy and the longest body between
            replicas. None: the default settings.

    Raises:
        ConfigurationError: the configuration is wrong, or no folder is private.
    """
    settings = settings_of(config)
    given = os.environ.get(FOLDER_ENV)
    folder = require_private(Path(given)) if given else create_private_folder()
    variables = {
        **FAST_SETTINGS,
        **TOKEN_SETTINGS,
        **REPLICATED_INGRESS_SETTINGS,
        **message_settings(settings.limits.max_body_bytes),
        **front_end_settings(folder, settings),
    }
    # For Ray's own files; each `ray start` takes the folder as its --temp-dir.
    folders = {FOLDER_ENV: folder, RAY_FOLDER_ENV: ray_folder(folder), "RAY_TMPDIR": folder}
    return [
        *(f"export {name}={shlex.quote(str(value))}" for name, value in {**variables, **folders}.items()),
        "# Remove the folder after `ray stop`: it has control sockets, configuration and logs.",
    ]


def settings_of(config: Path | None) -> Settings:
    """The application's settings in a file like ``serve_config.yaml``; None: the default ones.

    Raises:
        ConfigurationError: the file cannot be read, or is wrong.
    """
    return parse_settings(read_serve_file(config)["applications"][0]["args"] if config else {})


if __name__ == "__main__":
    main()
