"""One machine's Ray with the application on it: started, awaited, and ended without leaving anything behind.

Set the environment of :mod:`deployments.ray_environment` before importing this module: Ray reads it on import, and its
processes inherit it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from pydantic import ValidationError
from ray import serve
from ray._private.node import Node
from ray.exceptions import RayError
from ray.serve._private import api as serve_private_api
from ray.serve._private.common import DeploymentStatus
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from serve_app.cli.launch.ending import adopt_orphans, bounded
from serve_app.domain import ConfigurationError, SettingsError, last_words
from serve_app.settings import wrong_keys

# Close to the least that Ray accepts (75 MB): bodies and views are sent over gRPC, and the store is resident memory.
_OBJECT_STORE_BYTES = 100 * 1024 * 1024

_POLL_S = 0.1
_WATCH_S = 0.5  # a replica is replaced within a second or two

# A start takes 5 s on an idle machine. Serve gives its controller 30 s to stop.
_START_LIMIT_S = 180.0
_STOP_LIMIT_S = 45.0

# How a traceback names errors: with the module of their class, which means nothing to an admin.
_OUR_ERROR = re.compile(
    r"^serve_app\.domain(?:\.\w+)*\.\w+Error: (.+?)(?=\n\S*Traceback|\n\n|\Z)", re.MULTILINE | re.DOTALL
)
_TRACEBACK_LINE = re.compile(r'^ *File "[^"]+", line \d+', re.MULTILINE)


class RayStartError(ConfigurationError):
    """Ray did not start; the message has the reason that Ray gives."""


class DeployFailedError(ConfigurationError):
    """The application did not start; the message has the reason that Serve gives."""


@contextlib.contextmanager
def local_ray(folder: Path) -> Iterator[None]:
    """A Ray of this process alone. It ends with the block, and with the process however that ends.

    Args:
        folder: for its sockets and logs, inside a private one, since Ray opens its folders to everybody.

    Raises:
        RayStartError: it did not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    adopt_orphans()
    with bounded(_START_LIMIT_S, "the start of Ray"), _without_dashboard():
        _start(folder)
    try:
        yield
    finally:
        with bounded(_STOP_LIMIT_S, "the end of Ray"):
            shut_down()


def _start(folder: Path) -> None:
    try:
        ray.init(
            # Otherwise Ray joins the cluster of RAY_ADDRESS, or another one on this machine.
            address="local",
            namespace="serve",
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.WARNING,
            _temp_dir=str(folder),
        )
    except Exception as error:  # of many trees; Exception itself where a busy machine is too slow
        raise RayStartError(f"Ray did not start: {_last_line(error)}") from error


@contextlib.contextmanager
def _without_dashboard() -> Iterator[None]:
    """Starts no process of Ray's dashboard.

    Without a dashboard the process only reports statistics of use. Even if these are off, it asks the metadata address
    of clouds (169.254.169.254), and Ray has no setting against that.
    """
    start = Node.start_api_server

    def start_nothing(*_: Any, **__: Any) -> None: ...

    Node.start_api_server = start_nothing  # type: ignore[method-assign]
    try:
        yield
    finally:
        Node.start_api_server = start  # type: ignore[method-assign]


def shut_down() -> None:
    """End Serve, then this process's Ray. In the other order an orphaned haproxy holds the port."""
    # Serve's controller ends by killing itself, and Ray prints that as a failed call.
    with contextlib.redirect_stdout(io.StringIO()):
        with contextlib.suppress(Exception):
            serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


def parse_schema(config: Mapping[str, Any]) -> ServeDeploySchema:
    """A configuration of the form of ``serve_config.yaml``, parsed by Serve.

    Raises:
        SettingsError: one line for each wrong key.
    """
    try:
        return ServeDeploySchema.model_validate(dict(config))
    except ValidationError as error:
        raise SettingsError(f"Ray Serve refuses this configuration:\n{wrong_keys(error)}") from error


def deploy(config: Mapping[str, Any]) -> None:
    """Give Serve a configuration of the form of ``serve_config.yaml``; return before the application runs.

    These are the two calls of the command ``serve run CONFIG``, for which Serve has no public function.

    Raises:
        SettingsError: Serve refuses the configuration.
        DeployFailedError: Serve itself does not start.
    """
    schema = parse_schema(config)
    try:
        client = serve_private_api.serve_start(
            http_options=schema.http_options.model_dump(), proxy_location=schema.proxy_location
        )
        client.deploy_apps(schema)
    except (RayError, RuntimeError, OSError) as error:
        raise DeployFailedError(f"Ray Serve did not start: {_last_line(error)}") from error


def wait_until_running(
    timeout_s: float,
    on_progress: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Wait until every application runs, or ``stop`` is set.

    Args:
        timeout_s: the longest wait.
        on_progress: called with the deployments that are not ready, whenever these change.
        stop: ends the wait early, without an error.

    Raises:
        DeployFailedError: an application failed, or the time is over.
    """
    give_up_s = time.monotonic() + timeout_s
    last_told = ""
    stop = stop or threading.Event()
    while not stop.wait(_POLL_S):
        applications = serve.status().applications
        starting = [
            f"{name} ({sum(deployment.replica_states.values())} replicas, {deployment.status.value.lower()})"
            for application in applications.values()
            for name, deployment in application.deployments.items()
            if deployment.status.value != "HEALTHY"
        ]
        for application in applications.values():
            if application.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
                messages = [application.message, *(each.message for each in application.deployments.values())]
                raise DeployFailedError(failure_message("\n".join(filter(None, messages))))
        if applications and all(
            application.status == ApplicationStatus.RUNNING for application in applications.values()
        ):
            return
        if time.monotonic() > give_up_s:
            raise DeployFailedError(
                f"not ready after {timeout_s:.0f} s; waiting for {', '.join(starting) or 'Ray Serve'}"
            )
        told = ", ".join(starting)
        if told and told != last_told:
            on_progress(told)
            last_told = told


def _last_line(error: Exception) -> str:
    """The cause, of an error whose text may be the traceback of another process."""
    return last_words(str(error)) or "it does not say why"


def stay(stop: threading.Event, on_change: Callable[[str], None]) -> None:
    """Run :func:`watch` until ``stop`` is set."""
    # In a thread of its own: a call to a dead controller waits for its successor, and a signal must not wait.
    watching = threading.Thread(target=watch, args=(stop, on_change), daemon=True)
    watching.start()
    stop.wait()
    watching.join(_WATCH_S)


def watch(stop: threading.Event, on_change: Callable[[str], None]) -> None:
    """Until ``stop`` is set, report in a line when a deployment has lost a replica, and when it is whole again."""
    ill: set[str] = set()
    while not stop.wait(_WATCH_S):
        try:
            applications = serve.status().applications
        except Exception:  # noqa: S112 - the controller may be the one that is being replaced
            continue
        for name, deployment in (
            (name, each) for app in applications.values() for name, each in app.deployments.items()
        ):
            if deployment.status == DeploymentStatus.UNHEALTHY and name not in ill:
                ill.add(name)
                on_change(f"{name}: a replica died or does not answer; another one is starting")
            elif deployment.status == DeploymentStatus.HEALTHY and name in ill:
                ill.remove(name)
                on_change(f"{name}: all replicas run again")


def failure_message(told: str) -> str:
    """The part of Serve's message that an admin needs: our own error's message if there is one.

    An error of a replica's constructor arrives as the text of a traceback, once for the application and once for the
    deployment; its last lines start with the error's class. Of a traceback that ends in another error, the last line
    is the message; text without a traceback stays as it is.
    """
    if ours := _OUR_ERROR.search(told):
        return ours[1].strip()
    return f"a replica did not start: {last_words(told)}" if _TRACEBACK_LINE.search(told) else told
