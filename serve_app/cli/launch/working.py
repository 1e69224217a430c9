"""``pictwarden worker``: the models of this machine for a front elsewhere, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer

from serve_app.cli.launch import systemd
from serve_app.cli.launch.ending import cut_off_after
from serve_app.cli.launch.long_running import run_to_the_end, set_up_log, stop_on_signals
from serve_app.domain import SettingsError
from serve_app.host.process import release_start_memory
from serve_app.host.secret_files import secret_in_file, why_unusable
from serve_app.logs.log_format import LogFormat
from serve_app.settings import LogSettings, ModelSettings

if TYPE_CHECKING:
    from serve_app.worker import WorkerSettings

STOP_LIMIT_S = 20.0
"""From the signal to the end of the process. The pictures inside are answered within 9.5 s of it."""

_COMPONENT = "worker"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def worker(
    url: Annotated[str, typer.Option(help="Address of the front: https://instance.example, with a path if need be.")],
    secret_file: Annotated[Path, typer.Option(help="File with the worker's secret: one of the front's.")],
    name: Annotated[
        str | None, typer.Option(help="Name in the front's decisions. Default: the host name of this machine.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Your own copy of the front's model, such as a folder, instead of a download.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="What computes. auto is a GPU, if there is one.")
    ] = "auto",
    engine: Annotated[
        Literal["auto", "torch", "openvino"], typer.Option(help="What runs the model of the prompts.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of a pass on the CPU. Default: one for each core.")
    ] = None,
    cache_folder: Annotated[
        Path | None, typer.Option(help="Where converted models and fetched classifiers are.")
    ] = None,
    takes: Annotated[
        Literal["views", "bodies"],
        typer.Option(help="What the front sends. bodies: whole files, decoded here, where the front sends them."),
    ] = "views",
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Allow http:// beyond this machine: pictures travel in clear.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="The form of log lines.")] = LogFormat.TEXT,
) -> None:
    """Score pictures for a front elsewhere, which runs `pictwarden serve --scorers remote`.

    One connection goes out, through the proxy of HTTPS_PROXY if that is set, and none comes in. The front says which
    model it wants, which is downloaded once; no picture is stored. Logs go to the standard output. The first Ctrl-C or
    SIGTERM has the pictures inside answered, the second one ends at once. Exit code 0 after either, 1 if the front and
    the worker refuse each other or the device is stuck, 2 for a wrong option.
    """
    # What scores takes a second to import, and --help needs none of it.
    from serve_app.worker import WorkerSettings

    try:
        settings = WorkerSettings(
            url=_front_url(url, is_clear_allowed=insecure_http),
            secret=_secret(secret_file),
            name=_worker_name(name),
            model=ModelSettings(
                source=model, device=device, engine=engine, cpu_threads=threads, cache_folder=cache_folder
            ),
            decode_workers=(os.cpu_count() or 1) if takes == "bodies" else 0,
        )
    except (SettingsError, ValueError) as error:
        raise typer.BadParameter(_told(error)) from error

    def work() -> None:
        set_up_log(LogSettings(format=log_format), _COMPONENT)
        asyncio.run(_work(settings))

    run_to_the_end(_COMPONENT, work)


async def _work(settings: WorkerSettings) -> None:
    from serve_app.worker import Worker

    stop = asyncio.Event()

    @functools.cache  # once, whatever begins it
    def bound_the_end() -> None:
        systemd.notify(systemd.STOPPING)
        cut_off_after(STOP_LIMIT_S, "the end")

    stop_on_signals(stop, bound_the_end)
    systemd.notify(systemd.READY)
    await Worker(settings, stop, on_alive=lambda: systemd.notify(systemd.ALIVE), on_warm=release_start_memory).run()


def _front_url(given: str, *, is_clear_allowed: bool) -> str:
    try:
        parts = urlsplit(given)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, a bracket that is open
        is_whole = False
    if not is_whole or parts.username or parts.query or parts.fragment:
        raise SettingsError(f"--url {given!r} is no address of a front: write https://HOST, and its path if it has one")
    if parts.scheme == "http" and not is_clear_allowed and not _is_loopback(parts.hostname or ""):
        raise SettingsError(
            f"--url {given!r} would send pictures and the secret over the network in clear: write https://, or add "
            "--insecure-http where the network in between is your own"
        )
    return given.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(file: Path) -> str:
    given = secret_in_file("--secret-file", file.absolute())
    secret = given.partition(":")[2] or given  # as the front has it, behind the worker's name
    if why := why_unusable(secret):
        raise SettingsError(f"the secret in {file} {why}")
    return secret


def _worker_name(given: str | None) -> str:
    if given is None:
        return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("-._")[:64] or "worker"
    if _NAME.fullmatch(given) is None:
        raise SettingsError(f"--name {given!r} is no name of a worker: letters, digits, dots and dashes, at most 64")
    return given


def _told(error: Exception) -> str:
    """Pydantic's own words name a section that this command does not have."""
    errors = getattr(error, "errors", None)
    return str(error) if errors is None else str(errors()[0]["msg"]).removeprefix("Value error, ")
