"""The address that the service listens on, checked first, since Serve reports a wrong one late."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_app.domain import SettingsError
from serve_app.http.listening_socket import listening_socket

_LOOPBACK = "127.0.0.1"
_INSTEAD_OF_EVERY = {"0.0.0.0": _LOOPBACK, "::": "::1"}  # noqa: S104 - read, not bound


@dataclass(frozen=True, slots=True)
class ListeningAddress:
    """An address of this machine, as a literal, and a port that was free a moment ago."""

    host: str
    port: int

    @property
    def root_url(self) -> str:
        """The URL for clients on this machine, where 0.0.0.0 is no address to connect to."""
        return f"http://{_in_url(_INSTEAD_OF_EVERY.get(self.host, self.host))}:{self.port}"

    @property
    def bind(self) -> str:
        """The address in HAProxy's form; ``::`` takes IPv4 as well."""
        both = " v4v6" if self.host == "::" else ""
        return f"{_in_url(self.host)}:{self.port}{both}"

    def listener(self) -> socket.socket:
        """A socket that listens on it; close it after use. ``::`` takes IPv4 as well.

        Raises:
            SettingsError: it is not free any more.
        """
        try:
            return listening_socket(self.host, self.port, with_ipv4=self.host == "::")
        except OSError as error:
            raise SettingsError(_why_not(error, self.host, self.port)) from error


def listening_address(host: Any, port: Any) -> ListeningAddress:
    """Where to listen.

    A name is resolved once, here: pict-rs refuses to ask a validator by a name that resolves to a private address, so
    that the line for it needs the literal in any case.

    Args:
        host: a literal or a name of this machine.
        port: 1 to 65535.

    Raises:
        SettingsError: one line with the way out.
    """
    if not isinstance(host, str) or not host.strip():
        raise SettingsError(f"{host!r} is not a host: give --host an address of this machine, such as 127.0.0.1")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise SettingsError(f"{port!r} is not a port: choose a --port from 1 to 65535")
    family, literal = _resolved(host.strip().removeprefix("[").removesuffix("]"), port)
    _require_free(family, literal, port)
    return ListeningAddress(literal, port)


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        # IPv4 first: a name with both, such as localhost, is then what pict-rs has always been told.
        found = sorted(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"{host!r} is neither an address nor a name that resolves to one: give --host an address of this machine"
        ) from error
    family, _, _, _, address = found[0]
    literal = str(address[0])
    return family, literal


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _require_free(family: socket.AddressFamily, host: str, port: int) -> None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # A port that a service of a moment ago left in TIME_WAIT is free for HAProxy, and so it is here.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise SettingsError(_why_not(error, host, port)) from error


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use: stop that process or choose another --port"
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for root: choose a --port of {_first_free_port()} or more"
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"{host} is not an address of this machine: give --host one that is, or 127.0.0.1"
    return f"cannot listen on port {port} of {host}: {os.strerror(error.errno or 0)}"


def _first_free_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text("ascii"))
    except (OSError, ValueError):
        return 1024
