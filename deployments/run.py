"""``make run``: the service on this machine, from its start to a line to paste into pict-rs, until Ctrl-C.

Application and form of configuration are those of a cluster; only the arguments differ (``local.yaml``).
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from deployments.environment_check import read_args_for_ray
from deployments.haproxy.front_end import answer_what_is_inside, front_end_settings, ray_folder, wait_until_answered
from deployments.private_folder import private_folder
from deployments.ray_environment import (
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    fresh_token_settings,
    message_settings,
    own_port_settings,
    replicated_ingress_settings,
)
from serve_app.cli.launch.announcement import announce
from serve_app.cli.launch.awaiting_workers import how_to_connect
from serve_app.cli.launch.ending import bounded, cut_off_after
from serve_app.cli.launch.listening import ListeningAddress, listening_address
from serve_app.cli.local_service import provide_secret, provide_worker_secret, store_url
from serve_app.cli.serve_file import Choice, ModelOption, PolicyOption, PresetOption, read_serve_file
from serve_app.database.location import locate
from serve_app.domain import ConfigurationError, UnavailableError
from serve_app.host.state_folder import STATE_ENV, state_folder
from serve_app.remote.absence import what_happens
from serve_app.settings import Settings, parse_settings
from serve_app.settings.pictrs_safety import notices as pictrs_safety_notices
from serve_app.wire import HEALTH_PATH, READY_PATH, SCAN_PATH

_DEFAULT_CONFIG = Path(__file__).with_name("local.yaml")

_READY_TIMEOUT_S = 600.0  # a real model may have to be downloaded first
_HUNG_AFTER_S = 60.0

# From the signal to the end of the process. The pictures inside are answered within 11 s of it, and Serve gives its
# controller 30 s.
STOP_LIMIT_S = 55.0

console = Console(highlight=False)


def run(
    config: Annotated[Path | None, typer.Option(help="A file like serve_config.yaml; default: preset starter.")] = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    policy: PolicyOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on, instead of 14051.")] = None,
    logs: Annotated[Path | None, typer.Option(help="Folder for logs. Default: one that the service removes.")] = None,
) -> None:
    """Run the service with Ray Serve on this machine until Ctrl-C or SIGTERM.

    `pictwarden serve` runs it in one process, in a third of the memory.

    Exit code: 0 after Ctrl-C or SIGTERM, 1 if the service did not start or did not scan its sample pictures, 2 for a
    wrong option.
    """
    stop = threading.Event()
    _set_on_signals(stop)
    try:
        choice = Choice(preset, policy, model)
        settings = read_serve_file(config or _DEFAULT_CONFIG, choice, is_default=config is None)
        http = settings["http_options"]
        address = listening_address(host or http["host"], port or http["port"])
        # The ingress replicas stay on the loopback address, whatever the front end listens on.
        settings["http_options"] = {**http, "host": "127.0.0.1", "port": address.port}
        if logs is not None:
            logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            settings["logging_config"]["logs_dir"] = str(logs.resolve())
        args = settings["applications"][0]["args"]
        os.environ[STATE_ENV] = str(state_folder().absolute())  # Ray's processes have another working directory
        if (location := locate(parse_settings(args).ledger)) is not None and location.file is not None:
            args["ledger"] = str(location.file)
        os.environ.update(_environment(settings) | message_settings(parse_settings(args).limits.max_body_bytes))
        application, *_ = read_args_for_ray(args)
        for notice in pictrs_safety_notices(application):
            console.print(notice, style="yellow", markup=False, soft_wrap=True)
        secrets_env = application.authentication.secrets_env
        secret = provide_secret(secrets_env)
        worker_secret = provide_worker_secret() if application.remote is not None else None
        with private_folder() as folder:
            os.environ.update(front_end_settings(folder, application, address.bind))
            # torch makes this folder when it is imported, and otherwise leaves it in the system's temporary one.
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "torch")
            _serve(settings, address, secret, stop, folder, application, worker_secret)
    except (ConfigurationError, UnavailableError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except OSError as error:
        # The folders for logs and for control sockets; every other file has an error of its own.
        console.print(f"{error.filename}: {error.strerror}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _serve(
    settings: Mapping[str, Any],
    address: ListeningAddress,
    secret: str,
    stop: threading.Event,
    folder: Path,
    application: Settings,
    worker_secret: Path | None,
) -> None:
    """Start, announce, wait for ``stop``, answer the pictures inside, end."""
    started_s = time.monotonic()
    logs = settings["logging_config"].get("logs_dir") or ray_folder(folder) / "session_latest" / "logs" / "serve"
    # Ray reads the environment on import, so that it must not be imported earlier.
    from deployments.local_ray import deploy, local_ray, parse_schema, stay, wait_until_running

    parse_schema(settings)
    with console.status("starting Ray") as status, local_ray(ray_folder(folder)):
        _set_on_signals(stop)  # ray.init sets a handler of its own, which exits at once
        status.update("starting the application")
        with bounded(_READY_TIMEOUT_S + _HUNG_AFTER_S, "the start of the application"):
            deploy(settings)
            wait_until_running(_READY_TIMEOUT_S, lambda waiting: status.update(f"waiting for {waiting}"), stop)
            # Without a worker, replicas are not ready where unscanned pictures are refused.
            wait_until_answered(address.root_url, READY_PATH if application.remote is None else HEALTH_PATH, stop)
        status.stop()
        if not stop.is_set():
            url = f"{address.root_url}{SCAN_PATH}/{quote(secret, safe='')}"
            file = store_url(url)
            if application.remote is None:
                announce(url, time.monotonic() - started_s, console, application.chosen_preset, file)
            else:
                workers = ListeningAddress(application.remote.host, application.remote.port)
                meanwhile = what_happens("none", application.on_unscanned)
                text = how_to_connect(workers, worker_secret, meanwhile)
                console.print(text, markup=False, soft_wrap=True)
                console.print(f"The URL for pict-rs, with its secret, is in {file}", markup=False, soft_wrap=True)
            console.print(f"Logs: {logs}", soft_wrap=True)
            console.print("`make serve` runs the same in one process, for a small server.", soft_wrap=True)
            if file is None:
                console.print("\nNOTE: this folder is not writable, so that `pictwarden check` needs --url")
            stay(stop, functools.partial(console.print, soft_wrap=True))
        console.print("stopping")
        is_hurried = threading.Event()
        _set_on_signals(is_hurried)
        answer_what_is_inside(folder, application.deadline_s, is_hurried)


def _environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment of the Ray processes."""
    here = str(Path.cwd())
    return {
        **FAST_SETTINGS,
        **replicated_ingress_settings(settings),
        **LOCAL_SETTINGS,
        **fresh_token_settings(),
        **own_port_settings(),
        "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH")))),
    }


def _set_on_signals(stop: threading.Event) -> None:
    is_told = False

    def on_signal(*_: object) -> None:
        nonlocal is_told
        if not is_told:
            # First of all, so that the end comes, whatever the signal has interrupted.
            is_told = True
            cut_off_after(STOP_LIMIT_S, "the shutdown")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def main() -> None:
    """Entry point."""
    # Tracebacks show no values of variables, since the secret is one of them.
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    app.command()(run)
    app()


if __name__ == "__main__":
    main()
