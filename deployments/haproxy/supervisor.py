"""Runs HAProxy for Serve, with our lines in its configuration, and replaces it when it has died or hangs.

Serve starts this program instead of HAProxy (``RAY_SERVE_HAPROXY_BINARY_PATH``), with the same arguments, and takes it
for HAProxy: it passes commands to the admin socket on, with its own process id in the answers. So Serve's own life
cycle (reload, health check, end) stays as it is, while a killed HAProxy is replaced at once, and a hanging one after
three seconds instead of half a minute.

HAProxy ends with this process, and this process with its parent, however they end: an orphan would hold the port. It
starts often and must start fast, so that it imports only the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.haproxy.config import Amendments, UnknownConfigError, amend, with_former_servers

AMENDMENTS_ENV = "PICTWARDEN_HAPROXY_AMENDMENTS"
"""The variable that names the file with the amendments."""

BINARY_ENV = "PICTWARDEN_HAPROXY_BINARY"
"""The variable that names HAProxy's program."""

_PING_TIMEOUT_S = 1.0
_UNANSWERED_PINGS = 3
"""Counted and not timed, since on a machine that stood still only one ping is late."""

_PING_PERIOD_S = 0.5
_COMMAND_TIMEOUT_S = 5.0
_START_POLL_S = 0.02
_START_PAUSE_S = 0.2
_DRAIN_MARGIN_S = 1.0
_MAX_COMMAND_BYTES = 16 * 1024

_PR_SET_PDEATHSIG = 1
_PID_LINE = re.compile(rb"^Pid: \d+$", re.MULTILINE)
_HARD_STOP = re.compile(r"^\s*hard-stop-after (\d+)s$", re.MULTILINE)
_FORWARDED = (signal.SIGTTOU, signal.SIGTTIN)  # a successor asks for the ports, or gives them back


def control_socket(admin_socket: Path, supervisor_pid: int) -> Path:
    """The socket on which a supervisor's HAProxy takes commands. Its name is short, as a socket's path must be."""
    return admin_socket.with_name(f"c{supervisor_pid}")


def die_with_parent(number: signal.Signals) -> None:
    """Make the kernel send this process a signal when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))


def start_arguments(arguments: Sequence[str], config: Path, admin_socket: Path) -> list[str]:
    """Serve's arguments for HAProxy, with our configuration and the predecessor's control socket."""
    started = list(arguments)
    started[started.index("-f") + 1] = str(config)
    if "-x" in started:
        started[started.index("-x") + 1] = str(control_socket(admin_socket, predecessor(arguments)))
    return started


def predecessor(arguments: Sequence[str]) -> int:
    """The process id of the supervisor whose place is taken; 0 where there is none."""
    return int(arguments[arguments.index("-sf") + 1]) if "-sf" in arguments else 0


def restart_arguments(started: Sequence[str]) -> list[str]:
    """The same arguments without the predecessor, which has ended."""
    kept: list[str] = []
    is_skipped = False
    for each in started:
        if each.startswith("-"):
            is_skipped = each in ("-sf", "-x")
        if not is_skipped:
            kept.append(each)
    return kept


class Supervisor:
    """One HAProxy in Serve's eyes, from its start to its end, in as many processes as it takes."""

    def __init__(self, binary: str, arguments: Sequence[str], amendments: Amendments) -> None:
        """Read Serve's configuration and write the amended one beside it.

        Raises:
            UnknownConfigError: see :func:`deployments.haproxy.config.amend`.
        """
        served = Path(arguments[arguments.index("-f") + 1])
        text = served.read_text("utf-8")
        found = re.search(r"^\s*stats socket (\S+)", text, re.MULTILINE)
        if found is None:
            raise UnknownConfigError("Ray Serve writes an unknown HAProxy configuration: use Ray 2.60")
        self._admin_socket = Path(found[1])
        self._control_socket = control_socket(self._admin_socket, os.getpid())
        self._config = _config_of(served, os.getpid())
        amended = amend(text, amendments, str(self._control_socket))
        with contextlib.suppress(FileNotFoundError):
            amended = with_former_servers(amended, _config_of(served, predecessor(arguments)).read_text("utf-8"))
        self._config.write_text(amended, "utf-8")
        self._binary = binary
        self._arguments = start_arguments(arguments, self._config, self._admin_socket)
        hard_stop = _HARD_STOP.search(text)
        self._drain_s = int(hard_stop[1]) + _DRAIN_MARGIN_S if hard_stop else None
        self._is_ending = asyncio.Event()
        self._ends_by = signal.SIGUSR1
        self._haproxy: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run until HAProxy is told to end, or cannot start; return the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._drain)
        loop.add_signal_handler(signal.SIGTERM, self._end)
        for number in _FORWARDED:
            loop.add_signal_handler(number, self._forward, number)
        try:
            haproxy = self._haproxy = await self._start(self._arguments)
            if self._is_ending.is_set():  # before there was anybody to forward the signal to
                self._forward(self._ends_by)
            if not await self._answers_first(haproxy):
                return await haproxy.wait() or 1
            async with await self._stand_in():
                await self._watch(haproxy)
        finally:
            self._config.unlink(missing_ok=True)
            self._control_socket.unlink(missing_ok=True)
        return 0

    async def _watch(self, haproxy: asyncio.subprocess.Process) -> None:
        while True:
            ended = asyncio.create_task(haproxy.wait())
            await self._until_silent(ended)
            if self._is_ending.is_set():
                await asyncio.wait({ended}, timeout=self._drain_s)
            if not ended.done():
                _say(f"HAProxy {haproxy.pid} does not answer and is killed")
                with contextlib.suppress(ProcessLookupError):
                    haproxy.kill()
            status = await ended
            if not self._is_ending.is_set():
                _say(f"HAProxy {haproxy.pid} ended with status {status} and is restarted")
            successor = await self._replace()
            if successor is None:
                return
            haproxy = successor

    async def _until_silent(self, ended: asyncio.Task[int]) -> None:
        """Wait until HAProxy ends, is told to end, or has left enough pings unanswered."""
        ending = asyncio.create_task(self._is_ending.wait())
        unanswered = 0
        clock = asyncio.get_running_loop().time
        try:
            while unanswered < _UNANSWERED_PINGS and not ended.done() and not ending.done():
                asked_s = clock()
                unanswered = 0 if await self._ask(b"show info\n", _PING_TIMEOUT_S) else unanswered + 1
                # A ping that fails at once takes as long as one without an answer.
                pause_s = max(0.0, asked_s + _PING_TIMEOUT_S - clock()) if unanswered else _PING_PERIOD_S
                await asyncio.wait({ended, ending}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()

    async def _replace(self) -> asyncio.subprocess.Process | None:
        """Start a HAProxy until one takes commands; None if it is told to end."""
        arguments = restart_arguments(self._arguments)
        while not self._is_ending.is_set():
            haproxy = self._haproxy = await self._start(arguments)
            if self._is_ending.is_set():
                # The signal went to its predecessor.
                haproxy.kill()
                await haproxy.wait()
                return None
            if await self._answers_first(haproxy):
                return haproxy
            # The process that holds the port may end.
            await asyncio.sleep(_START_PAUSE_S)
        return None

    async def _start(self, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._binary,
            *arguments,
            start_new_session=True,  # Ctrl-C in a terminal is not for it
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),
        )

    async def _answers_first(self, haproxy: asyncio.subprocess.Process) -> bool:
        """Wait until HAProxy takes commands; False if it ends before."""
        while haproxy.returncode is None:
            if await self._ask(b"show info\n", _PING_TIMEOUT_S):
                return True
            await asyncio.sleep(_START_POLL_S)
        return False

    async def _stand_in(self) -> asyncio.Server:
        """Answer at the admin socket that Serve knows, in place of a predecessor."""
        entrance = self._admin_socket.with_name(f"e{os.getpid()}")
        server = await asyncio.start_unix_server(self._pass_on, entrance)
        entrance.replace(self._admin_socket)
        return server

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            command = await reader.readline()
            answer = await self._ask(command[:_MAX_COMMAND_BYTES], _COMMAND_TIMEOUT_S)
            writer.write(_PID_LINE.sub(b"Pid: %d" % os.getpid(), answer))
            await writer.drain()
        writer.close()

    async def _ask(self, command: bytes, timeout_s: float) -> bytes:
        """HAProxy's answer to a command; empty if it does not answer in time."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(self._control_socket)
                try:
                    writer.write(command)
                    return await reader.read()
                finally:
                    writer.close()
        return b""

    def _drain(self) -> None:
        self._end_by(signal.SIGUSR1)

    def _end(self) -> None:
        self._end_by(signal.SIGKILL)

    def _end_by(self, number: signal.Signals) -> None:
        self._ends_by = number
        self._is_ending.set()
        self._forward(number)

    def _forward(self, number: signal.Signals) -> None:
        if self._haproxy is not None:
            with contextlib.suppress(ProcessLookupError):
                self._haproxy.send_signal(number)


def _config_of(served: Path, supervisor_pid: int) -> Path:
    """The amended configuration of a supervisor, beside that of Serve."""
    return served.with_name(f"{supervisor_pid}.cfg")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> None:
    """Entry point, with HAProxy's arguments."""
    os.umask(0o077)
    die_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    amendments = Amendments.from_json(Path(os.environ[AMENDMENTS_ENV]).read_text("utf-8"))
    try:
        supervisor = Supervisor(os.environ[BINARY_ENV], sys.argv[1:], amendments)
    except UnknownConfigError as error:
        sys.exit(str(error))
    sys.exit(asyncio.run(supervisor.run()))


if __name__ == "__main__":
    main()
