"""``pictwarden serve``: the application in one process, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console

from serve_app.cli import systemd
from serve_app.cli.announcement import announce
from serve_app.cli.connection import keep_url, kept_secret
from serve_app.cli.ending import cut_off_after
from serve_app.cli.listening import ListeningAddress, listening_address
from serve_app.cli.serve_file import read_serve_file
from serve_app.configuration import read_args
from serve_app.domain import ConfigurationError, ModelIdentity, UnavailableError
from serve_app.http.guard import Guard
from serve_app.log_writer import LogWriter
from serve_app.policy import Policy
from serve_app.settings import Settings
from serve_app.wire import SCAN_PATH

# Of a service without a configuration file; pict-rs is told of this port.
_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", 14051

# From the signal to the end of the process: the pictures inside are answered within 9 s of it.
_STOP_LIMIT_S = 20.0

console = Console(highlight=False)


def serve(
    config: Annotated[
        Path | None, typer.Option(help="A file like serve_config.yaml. Default: the embedded demo.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model, instead of the configuration's model.source.")] = None,
    policy: Annotated[str | None, typer.Option(help="Policy, instead of the configuration's policy.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on, instead of 14051.")] = None,
) -> None:
    """Serve in one process, for a small server: the same answers as on Ray Serve, in a third of the memory.

    From a configuration file it takes http_options and the args of the first application; Ray Serve's deployments are
    ignored. Logs go to the standard output. Exit code 0 after Ctrl-C or SIGTERM, 1 if the service did not
    start or a part of it failed, 2 for a wrong option.
    """
    try:
        settings, chosen, address = _read(config, model, policy, host, port)
        secret = kept_secret(settings.authentication.secrets_env)
        os.environ.setdefault(settings.authentication.secrets_env, secret)
        guard = Guard.from_environment(settings.authentication)
        _log_to_stdout()
        asyncio.run(_serve(settings, chosen, guard, address, f"{address.root_url}{SCAN_PATH}/{quote(secret, safe='')}"))
    except (ConfigurationError, UnavailableError) as error:
        print(error, file=sys.stderr)
        _end(1)
    _end(0)


def _read(
    config: Path | None, model: str | None, policy: str | None, host: str | None, port: int | None
) -> tuple[Settings, Policy, ListeningAddress]:
    if config is None:
        chosen: dict[str, object] = {"model": {"source": model}} if model else {}
        args = chosen | ({"policy": policy} if policy else {})
        http = {"host": _DEFAULT_HOST, "port": _DEFAULT_PORT}
    else:
        file = read_serve_file(config, model, policy)
        args, http = file["applications"][0]["args"], file["http_options"]
    return *read_args(args), listening_address(host or http["host"], port or http["port"])


async def _serve(settings: Settings, policy: Policy, guard: Guard, address: ListeningAddress, url: str) -> None:
    from serve_app import standalone  # what serves takes a second to import, and --help needs none of it

    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if not stop.is_set():
            cut_off_after(_STOP_LIMIT_S, "the shutdown")
            systemd.notify(systemd.STOPPING)
            stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)

    def on_ready(identity: ModelIdentity, ready_after_s: float) -> None:
        keep_url(url)
        if sys.stdout.isatty():
            announce(url, ready_after_s, console)
        logging.getLogger(__name__).info(
            "ready after %.1f s on %s: model %s, policy %s", ready_after_s, address.root_url, identity, policy
        )
        systemd.notify(systemd.READY)

    with address.bound() as listener:
        await standalone.serve(
            settings, policy, guard, [listener], stop, on_ready, lambda: systemd.notify(systemd.ALIVE)
        )


def _log_to_stdout() -> None:
    """Lines go through a thread of their own: a reader that stands still must not hold answers up."""
    handler = logging.StreamHandler(sys.stdout)
    has_journal = "JOURNAL_STREAM" in os.environ  # it has its own time
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s" if has_journal else _TIMED))
    logging.basicConfig(level=logging.WARNING, handlers=[LogWriter(handler)], force=True)
    logging.getLogger("serve_app").setLevel(logging.INFO)


_TIMED = "%(asctime)s %(levelname)s %(message)s"


def _end(code: int) -> None:
    """End at once: a model that is still being loaded, in a thread that nobody can interrupt, keeps nobody waiting."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
