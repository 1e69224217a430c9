"""A service without a worker yet: where workers connect, and how one is started."""

from __future__ import annotations

import enum
from pathlib import Path

from serve_app.cli.launch.listening import ListeningAddress, listening_address
from serve_app.domain import SettingsError
from serve_app.host.secret_files import FILE_SUFFIX
from serve_app.logs import EventLogger
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


def how_to_connect(address: ListeningAddress, secret: Path | None, meanwhile: str) -> str:
    """That no worker is there, what that means, and how one is started.

    Args:
        address: where workers connect.
        secret: the file that has their secret; None if the environment has it.
        meanwhile: what becomes of pictures until there is one.
    """
    where = str(secret) if secret else f"the secret that {WORKER_SECRETS_ENV} or {WORKER_SECRETS_ENV}{FILE_SUFFIX} has"
    return (
        f"{_waiting(meanwhile)}.\n\n"
        f"Copy {where} to the machine with the GPU, and start a worker there. Its --url is the address at which that "
        f"machine reaches port {address.port} of this one, best through a reverse proxy with TLS; on this machine it "
        f"is:\n\n{_command(address, secret)}\n"
    )


def log_how_to_connect(address: ListeningAddress, secret: Path | None, meanwhile: str) -> None:
    """The same as a line of the log."""
    text = f"{_waiting(meanwhile)}; start one with: {_command(address, secret)}"
    logger.info("waiting_for_worker", text, address=address.root_url)


def _waiting(meanwhile: str) -> str:
    return f"no worker is connected yet: until one is, {meanwhile}"


def _command(address: ListeningAddress, secret: Path | None) -> str:
    return f"pictwarden worker --url {address.root_url} --secret-file {secret or 'FILE'}"
