"""Amendments to the HAProxy configuration that Serve writes, made before HAProxy reads it.

Serve has no variables for these: its admin socket is open to every user of the machine, its errors are plain text with
status 500, its 404 repeats the path with the secret, and a request that nobody answers never ends. This module imports
only the standard library, because :mod:`deployments.haproxy.supervisor` starts with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

_ADMIN_SOCKET = re.compile(r"^( *)stats socket \S+ mode 666 level admin( .*)?$")
_ERROR_FILE = re.compile(r"^ *errorfile \d+ ")
_NOT_FOUND = re.compile(r"^ *http-request return status 404 ")
_FALLBACK = re.compile(r"^ *server \S+ \S+ check backup$")
_SERVER = re.compile(r"^ *server ")
_OF_AN_APPLICATION = "backend http-"
_INDENT = "    "


class UnknownConfigError(ValueError):
    """Serve's configuration has an unknown form; the message names the missing lines."""


@dataclass(frozen=True, slots=True)
class Amendments:
    """Lines for HAProxy's configuration, by where they belong.

    Attributes:
        defaults: for all proxies; the later of two settings counts.
        frontend: before all of Serve's rules for a request.
        unrouted: instead of Serve's 404, for requests before an application runs.
        backend: before the servers of an application.
        bind: the address to listen on, in HAProxy's form; empty: Serve's own, on which its replicas listen too.
    """

    defaults: tuple[str, ...]
    frontend: tuple[str, ...]
    unrouted: tuple[str, ...]
    backend: tuple[str, ...]
    bind: str = ""

    def to_json(self) -> str:
        """For :meth:`from_json`."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Amendments:
        """The amendments that :meth:`to_json` wrote."""
        told = json.loads(text)
        bind = told.pop("bind")
        return cls(**{section: tuple(lines) for section, lines in told.items()}, bind=bind)


def amend(config: str, amendments: Amendments, control_socket: str) -> str:
    """Serve's configuration with the amendments in it.

    Serve's fallback server, its own proxy, is left out: it would hold requests until there is an ingress replica.

    Args:
        config: as Serve 2.60 writes it.
        amendments: what is added.
        control_socket: the socket on which HAProxy takes commands, from this user alone.

    Raises:
        UnknownConfigError: a line or a section to amend is missing.
    """
    amended: list[str] = []
    seen: set[str] = set()
    section = ""
    for line in config.splitlines():
        if line and not line[0].isspace():
            amended += _indented(amendments.defaults) if section == "defaults" else ()
            section = line.strip()
        if socket := _ADMIN_SOCKET.match(line):
            seen.add("admin socket")
            amended.append(f"{socket[1]}stats socket {control_socket} mode 600 level admin{socket[2] or ''}")
        elif section == "defaults" and _ERROR_FILE.match(line):
            seen.add("error file")
        elif section == "backend default_backend" and _NOT_FOUND.match(line):
            seen.add("404")
            amended += _indented(amendments.unrouted)
        elif section == "frontend http_frontend" and line.lstrip().startswith("bind "):
            seen.add("front end")
            amended.append(f"{_INDENT}bind {amendments.bind}" if amendments.bind else line)
            amended += _indented(amendments.frontend)
        elif not _FALLBACK.match(line):
            amended.append(line)
        if section.startswith(_OF_AN_APPLICATION) and line.lstrip().startswith("default-server "):
            amended += _indented(amendments.backend)
    if missing := {"admin socket", "error file", "404", "front end"} - seen:
        raise UnknownConfigError(
            f"Ray Serve writes an unknown HAProxy configuration, without {', '.join(sorted(missing))}: use Ray 2.60"
        )
    return "\n".join(amended) + "\n"


def with_former_servers(amended: str, former: str) -> str:
    """An amended configuration with the servers of its predecessor, for an application that has none.

    Serve forgets an application's ingress replicas while it builds a new version of it, though they answer. Where they
    are gone in fact, HAProxy's own checks find out.
    """
    known, of_former = _servers(amended), _servers(former)
    completed: list[str] = []
    section = ""
    for line in [*amended.splitlines(), "#"]:
        if line and not line[0].isspace():
            completed += [] if known.get(section) else of_former.get(section, [])
            section = line
        completed.append(line)
    return "\n".join(completed[:-1]) + "\n"


def _servers(config: str) -> dict[str, list[str]]:
    """The lines of the servers of each application, by the first line of their section."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in config.splitlines():
        if line and not line[0].isspace():
            section = line
        elif section.startswith(_OF_AN_APPLICATION) and _SERVER.match(line):
            found.setdefault(section, []).append(line)
    return found


def _indented(lines: Iterable[str]) -> list[str]:
    return [_INDENT + line for line in lines]
