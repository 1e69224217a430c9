"""What is changed in the HAProxy configuration that Serve writes, before HAProxy reads it.

Serve has variables for some lines and none for others: its admin socket is open to every user of the machine, its own
errors are plain text under status 500, its 404 repeats the path with the secret, and nothing ends a request that nobody
answers. Only the standard library is imported here: :mod:`deployments.haproxy.supervisor` starts with it.
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
_INDENT = "    "


class UnknownConfigError(ValueError):
    """Serve's configuration is not of the form that is known here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Amendments:
    """Lines for HAProxy's configuration, by where they belong.

    Attributes:
        defaults: for all proxies; the later of two settings counts.
        frontend: before all that Serve does with a request.
        unrouted: instead of Serve's 404, for what comes before an application is there.
        backend: before the servers of an application.
        bind: where to listen, in HAProxy's words; empty: where Serve does, which has its replicas listen there too.
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
        """What :meth:`to_json` wrote."""
        told = json.loads(text)
        bind = told.pop("bind")
        return cls(**{section: tuple(lines) for section, lines in told.items()}, bind=bind)


def amend(config: str, amendments: Amendments, control_socket: str) -> str:
    """Serve's configuration with the amendments in it.

    The server that Serve adds for the time without an ingress replica, its own proxy, is left out: it holds what it is
    sent until there is one.

    Args:
        config: as Serve 2.60 writes it.
        amendments: what is added.
        control_socket: where HAProxy takes commands, from this user alone.

    Raises:
        UnknownConfigError: a line or a section that is to be changed is not there.
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
        if section.startswith("backend http-") and line.lstrip().startswith("default-server "):
            amended += _indented(amendments.backend)
    if missing := {"admin socket", "error file", "404", "front end"} - seen:
        raise UnknownConfigError(
            f"Serve's HAProxy configuration has another form here: no {', '.join(sorted(missing))}"
        )
    return "\n".join(amended) + "\n"


def _indented(lines: Iterable[str]) -> list[str]:
    return [_INDENT + line for line in lines]
