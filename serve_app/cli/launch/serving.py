"""``pictwarden serve``: the application in one process, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
import uvloop
from rich.console import Console

from serve_app.cli.launch import systemd
from serve_app.cli.launch.announcement import announce, shows_secrets
from serve_app.cli.launch.awaiting_workers import Scorers, how_to_connect, log_how_to_connect, worker_address
from serve_app.cli.launch.ending import cut_off_after
from serve_app.cli.launch.listening import ListeningAddress, listening_address
from serve_app.cli.launch.long_running import run_to_the_end, set_up_log, stop_on_signals
from serve_app.cli.local_service import provide_secret, provide_worker_secret, store_url
from serve_app.cli.serve_file import (
    HTTP_OPTIONS,
    Choice,
    ModelOption,
    PolicyOption,
    PresetOption,
    read_serve_file,
)
from serve_app.composition.configuration import read_args
from serve_app.domain import ModelIdentity, SettingsError, UnavailableError
from serve_app.host.process import release_start_memory
from serve_app.http.guard import Guard
from serve_app.logs import EventLogger
from serve_app.logs.redaction import hide_secrets_of
from serve_app.policy import Policies
from serve_app.remote.absence import what_happens
from serve_app.settings import MetricsSettings, Settings
from serve_app.tracing import start_tracing
from serve_app.wire import SCAN_PATH

STOP_LIMIT_S = 20.0
"""From the signal to the end of the process. The pictures inside are answered within 9.5 s of it."""

# What this process is to logs and traces: all parts of the service.
_COMPONENT = "serve"

logger = EventLogger(__name__)
console = Console(highlight=False)


def serve(
    config: Annotated[
        Path | None, typer.Option(help="A file like serve_config.yaml. Default: the preset starter.")
    ] = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    policy: PolicyOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on, instead of 14051.")] = None,
    scorers: Annotated[
        Scorers | None,
        typer.Option(help="Where pictures are scored: here, or by workers on other machines (`pictwarden worker`)."),
    ] = None,
) -> None:
    """Serve in one process, for a small server: the same answers as on Ray Serve, in a third of the memory.

    From a configuration file it takes http_options and the args of the first application; Ray Serve's deployments are
    ignored. Logs go to the standard output. The first Ctrl-C or SIGTERM has the pictures inside answered, the second
    one ends at once. Exit code 0 after either, 1 if the service did not start or a part of it failed, 2 for a wrong
    option.
    """

    def work() -> None:
        args, http = _read(config, Choice(preset, policy, model))
        settings, policies = read_args(_with_scorers(args, scorers))
        address = listening_address(host or http["host"], port or http["port"])
        set_up_log(settings.log, _COMPONENT)
        secret = provide_secret(settings.authentication.secrets_env)
        worker_secret = provide_worker_secret() if settings.remote is not None else None
        hide_secrets_of()
        start_tracing(_COMPONENT)
        guard = Guard.from_environment(settings.authentication, sources=settings.sources)
        url = f"{address.root_url}{SCAN_PATH}/{quote(secret, safe='')}"
        uvloop.run(_serve(settings, policies, guard, address, url, worker_secret))

    run_to_the_end(_COMPONENT, work)


def _read(config: Path | None, choice: Choice) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The ``args`` and the ``http_options``."""
    if config is None:
        return choice.applied({}), HTTP_OPTIONS
    file = read_serve_file(config, choice)
    return file["applications"][0]["args"], file["http_options"]


def _with_scorers(args: Mapping[str, Any], scorers: Scorers | None) -> Mapping[str, Any]:
    match scorers:
        case None:
            return args
        case Scorers.HERE:
            return {**args, "remote": None}
        case Scorers.REMOTE:
            return {**args, "remote": args.get("remote") or {}}


async def _serve(
    settings: Settings,
    policies: Policies,
    guard: Guard,
    address: ListeningAddress,
    url: str,
    worker_secret: Path | None,
) -> None:
    # What serves takes a second to import, and --help needs none of it.
    from serve_app import standalone
    from serve_app.composition.own_work import own_work

    stop, came_back = asyncio.Event(), asyncio.Event()

    @functools.cache  # once, whatever begins it
    def bound_the_end() -> None:
        cut_off_after(STOP_LIMIT_S, "the shutdown")

    stop_on_signals(stop, bound_the_end)
    ending = asyncio.create_task(_begin_the_end(stop, bound_the_end))

    workers = worker_address(settings.remote) if settings.remote is not None else None

    def on_waiting() -> None:
        release_start_memory()
        store_url(url)
        if workers is not None and settings.remote is not None:
            meanwhile = what_happens(settings.remote.fallback, settings.on_unscanned)
            if shows_secrets():
                text = how_to_connect(workers, worker_secret, meanwhile)
                console.print(text, markup=False, soft_wrap=True)
            log_how_to_connect(workers, worker_secret, meanwhile)
        systemd.notify(systemd.READY)

    def on_ready(identity: ModelIdentity, ready_after_s: float) -> None:
        release_start_memory()
        file = store_url(url)
        preset = settings.chosen_preset
        if shows_secrets():
            # A worker may leave at any time: no reason for a front to end.
            with contextlib.suppress(UnavailableError) if workers is not None else contextlib.nullcontext():
                announce(url, ready_after_s, console, preset, file)
        elif preset is not None:
            for line in (str(preset), *preset.kinds):
                logger.info("preset", line)
        logger.info(
            "ready",
            f"ready after {ready_after_s:.1f} s on {address.root_url}: model {identity}, policy {policies.of_service}",
            ready_after_s=round(ready_after_s, 1),
            address=address.root_url,
            model=identity,
            policy=policies.of_service,
        )
        if file is not None:
            logger.info("url_stored", f"the URL for pict-rs, with its secret, is in {file}", file=file)
        systemd.notify(systemd.READY)

    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(address.listener())
        admin = listening_address(settings.admin.host, settings.admin.port) if guard.has_admins else None
        await standalone.serve(
            settings,
            policies,
            guard,
            standalone.Sockets(
                [listener],
                [sockets.enter_context(admin.listener())] if admin else [],
                [sockets.enter_context(each) for each in _metrics_listeners(settings.metrics)],
                [sockets.enter_context(workers.listener())] if workers is not None else [],
            ),
            stop,
            on_ready,
            lambda: systemd.notify(systemd.ALIVE),
            functools.partial(own_work, came_back=came_back),
            on_waiting,
            came_back,
        )
    ending.cancel()


def _metrics_listeners(wanted: MetricsSettings) -> list[socket.socket]:
    """The one that is wanted. A service whose metrics nobody can read is better than none."""
    if wanted.port is None:
        return []
    try:
        return [listening_address(wanted.host, wanted.port).listener()]
    except SettingsError as error:
        text = f"no metrics are served at metrics.host and metrics.port of the configuration: {error}"
        logger.warning("metrics_unserved", text, why=str(error))
        return []


async def _begin_the_end(stop: asyncio.Event, bound_the_end: Callable[[], None]) -> None:
    """However the end begins, it comes: where a part has failed, another one may hang."""
    await stop.wait()
    bound_the_end()
    systemd.notify(systemd.STOPPING)
