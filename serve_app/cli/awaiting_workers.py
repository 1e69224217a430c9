"""A service without a worker yet: where workers connect, and how one is started."""

from __future__ import annotations

import enum
from pathlib import Path

from rich.console import Console

from serve_app.cli.announcement import shows_secrets
from serve_app.cli.listening import ListeningAddress, listening_address
from serve_app.domain import OnUnscanned, SettingsError
from serve_app.logs import EventLogger
from serve_app.secret_files import FILE_SUFFIX
from serve_app.settings import RemoteSettings
from serve_app.wire import WORKER_SECRETS_ENV

logger = EventLogger(__name__)


class Scorers(enum.StrEnum):
    """Where pictures are scored."""

    HERE = "here"
    REMOTE = "remote"


def worker_address(remote: RemoteSettings) -> ListeningAddress:
    """Where workers connect.

    Raises:
        SettingsError: the address or the port cannot be had.
    """
    try:
        return listening_address(remote.host, remote.port)
    except SettingsError as error:
        raise SettingsError(
            f"workers cannot connect at remote.host and remote.port of the configuration: {error}"
        ) from error


def tell_how_to_connect(
    address: ListeningAddress, secret: Path | None, on_unscanned: OnUnscanned, console: Console
) -> None:
    """Say that no worker is there, what that means, and how one is started.

    Args:
        address: where workers connect.
        secret: the file that has their secret; None if the environment has it.
        on_unscanned: what becomes of pictures meanwhile.
        console: prints it at a terminal.
    """
    until = "refused" if on_unscanned is OnUnscanned.REJECT else "stored unscanned, and scanned later"
    waiting = f"no worker is connected yet: until one is, pictures are {until} (on_unscanned: {on_unscanned})"
    logger.info("waiting_for_worker", f"{waiting}; workers connect to {address.root_url}", address=address.root_url)
    if not shows_secrets():
        return
    where = str(secret) if secret else f"the secret that {WORKER_SECRETS_ENV} or {WORKER_SECRETS_ENV}{FILE_SUFFIX} has"
    told = (
        f"{waiting}.\n\nCopy {where} to the machine with the GPU, and start a worker there. Its --url is the address "
        f"at which that machine reaches port {address.port} of this one, best through a reverse proxy with TLS; on "
        "this machine it is:\n"
    )
    console.print(told, markup=False, soft_wrap=True)
    print(f"pictwarden worker --url {address.root_url} --secret-file {secret or 'FILE'}\n", flush=True)
