"""``make run``: the service on this machine, from nothing to a line to paste into pict-rs, until Ctrl-C.

The same application and the same form of configuration as on a cluster; only the arguments differ (``local.yaml``).
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from deployments.configuration import read_configuration
from deployments.front_end import answer_what_is_inside, front_end_settings, ray_folder, wait_until_answered
from deployments.private_folder import private_folder
from deployments.ray_environment import (
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    fresh_token_settings,
    message_settings,
    own_port_settings,
    replicated_ingress_settings,
)
from serve_app.cli.connection import SECRETS_ENV, keep_url, kept_secret
from serve_app.cli.report import scan_table
from serve_app.cli.scanning import scan_all
from serve_app.domain import ConfigurationError
from serve_app.http.app import SCAN_PATH
from serve_app.settings import parse_settings

_READY_TIMEOUT_S = 600.0  # a real model may have to be downloaded first

console = Console(highlight=False)


def run(
    config: Annotated[Path | None, typer.Option(help="A Serve configuration; by default the embedded demo.")] = None,
    model: Annotated[str | None, typer.Option(help="Instead of the configuration's model.source.")] = None,
    policy: Annotated[str | None, typer.Option(help="Instead of the configuration's policy.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on, instead of 14051.")] = None,
    logs: Annotated[Path | None, typer.Option(help="Folder for logs that outlive the service.")] = None,
) -> None:
    """Serve on this machine until Ctrl-C or SIGTERM."""
    stop = threading.Event()
    _set_on_signals(stop)
    settings = _configuration(config, model, policy, host, port)
    if logs is not None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings["logging_config"] = {**settings.get("logging_config", {}), "logs_dir": str(logs.resolve())}
    http = settings["http_options"]
    if not _is_free(http["host"], http["port"]):
        way_out = "stop what listens there, or give another --port"
        console.print(f"port {http['port']} of {http['host']} is taken: {way_out}", soft_wrap=True)
        raise typer.Exit(1)
    os.environ.update(_environment(settings))
    try:
        args = settings["applications"][0]["args"]
        os.environ.update(message_settings(parse_settings(args).limits.max_body_bytes))
        application, _ = read_configuration(args)
        with private_folder() as folder:
            os.environ.update(front_end_settings(folder, application))
            _serve(settings, stop, folder, application.deadline_s)
    except ConfigurationError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _serve(settings: Mapping[str, Any], stop: threading.Event, folder: Path, deadline_s: float) -> None:
    """Start, announce, wait for ``stop``, answer what is inside, end."""
    started_s = time.monotonic()
    logs = (
        settings.get("logging_config", {}).get("logs_dir") or ray_folder(folder) / "session_latest" / "logs" / "serve"
    )
    # Ray reads the environment when it is imported, so this is the first moment at which it may be.
    from deployments.local_ray import deploy, local_ray, stay, wait_until_running

    with console.status("starting Ray") as status, local_ray(ray_folder(folder)):
        _set_on_signals(stop)  # ray.init sets a handler of its own, which exits at once
        status.update("starting the application")
        deploy(settings)
        wait_until_running(_READY_TIMEOUT_S, lambda waiting: status.update(f"waiting for {waiting}"), stop)
        wait_until_answered(_root(settings["http_options"]), stop)
        status.stop()
        if not stop.is_set():
            _announce(settings["http_options"], time.monotonic() - started_s)
            console.print(f"Logs: {logs}", soft_wrap=True)
            stay(stop, functools.partial(console.print, soft_wrap=True))
        console.print("stopping")
        is_hurried = threading.Event()
        _set_on_signals(is_hurried)
        answer_what_is_inside(folder, deadline_s, is_hurried)


def _configuration(
    config: Path | None, model: str | None, policy: str | None, host: str | None, port: int | None
) -> dict[str, Any]:
    """The configuration with the command's own options in it."""
    text = config.read_text("utf-8") if config else resources.files("deployments").joinpath("local.yaml").read_text()
    settings: dict[str, Any] = yaml.safe_load(text)
    args = settings["applications"][0]["args"]
    if model:
        # Settings of the demo model's own make no sense for another one.
        kept = args.get("model", {}) if config else {}
        args["model"] = {**kept, "source": model}
    if policy:
        args["policy"] = policy
    settings["http_options"] |= {key: value for key, value in (("host", host), ("port", port)) if value}
    return settings


def _environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """What the Ray processes inherit."""
    here = str(Path.cwd())
    return {
        **FAST_SETTINGS,
        **replicated_ingress_settings(settings),
        **LOCAL_SETTINGS,
        **fresh_token_settings(),
        **own_port_settings(),
        SECRETS_ENV: os.environ.get(SECRETS_ENV) or kept_secret(),
        "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH")))),
    }


def _root(http: Mapping[str, Any]) -> str:
    # "Every address" is none that can be asked; from elsewhere this machine's own goes in its place.
    host = "127.0.0.1" if http["host"] in ("0.0.0.0", "::") else http["host"]
    return f"http://{host}:{http['port']}"


def _announce(http: Mapping[str, Any], ready_after_s: float) -> None:
    """Show that it works, by pictures, and how to connect pict-rs."""
    url = f"{_root(http)}{SCAN_PATH}/{kept_secret()}"
    keep_url(url)
    samples = resources.files("serve_app.cli") / "samples"
    with resources.as_file(samples) as folder:
        scans = [replace(each, picture=Path(each.picture).name) for each in scan_all(url, sorted(folder.iterdir()), 1)]
    console.print(f"ready after {ready_after_s:.0f} s; four sample pictures, sent through the real path:\n")
    console.print(scan_table(scans))
    for notice in sorted({each.notice for each in scans if each.notice}):
        console.print(f"\nNOTE: {notice}", style="yellow")
    console.print("\nPaste this into pict-rs, or POST a picture to its URL; Ctrl-C stops the service:\n")
    # print, not the console: a terminal's width must not break the line that is to be pasted.
    print(f"PICTRS__MEDIA__EXTERNAL_VALIDATION={url}", flush=True)


def _set_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # A port that a service of a moment ago left in TIME_WAIT is free for haproxy, and so it is here.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def main() -> None:
    """Entry point."""
    typer.run(run)


if __name__ == "__main__":
    main()
