"""The application as a service, one per test module: on a real local Ray, as `make run` starts it, or in one process.

The service runs in processes of its own: Ray reads its environment on import, once per process. A module says what it
wants served in its fixture ``config``, and where it is not Ray, how in its fixture ``way``.
"""

import contextlib
import copy
import io
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from PIL import Image

from deployments.ray_environment import free_ports
from tests.processes import is_alive, unless_ended

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
LINE = "PICTRS__MEDIA__EXTERNAL_VALIDATION="
SECRET = "a-secret-of-the-tests-and-of-nothing-else"

# A service starts all the same where the environment names a proxy for everything, and another Ray.
NOBODY = "127.0.0.1:9"
HOSTILE_ENVIRONMENT = {
    "RAY_ADDRESS": NOBODY,
    **{f"{kind}_proxy": f"http://{NOBODY}" for kind in ("http", "https", "grpc", "all")},
    **{f"{kind}_PROXY": f"http://{NOBODY}" for kind in ("HTTP", "HTTPS", "ALL")},
}

RAY, ONE_PROCESS = "Ray", "one process"
MODULES = {RAY: ["deployments.run"], ONE_PROCESS: ["serve_app.cli", "serve"]}

# What a service says of its start: it shows the URL itself, which holds the secret, at a terminal alone.
STARTED = "URL for pict-rs, with its secret, is in "

FAKE_POLICY = """\
policy: fake-red
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}
"""


@dataclass
class Service:
    """A running service and what a test may ask of it."""

    process: subprocess.Popen[str]
    port: int
    way: str = RAY
    output: list[str] = field(default_factory=list)
    announced: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self):
        return "".join(self.output)

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.root}/api/v1/scan/{SECRET}"

    def scan(self, body, **options):
        return httpx.post(self.url, content=body, timeout=30, **options)

    def processes(self):
        """All processes of the service: those that descend from it, by their process tree."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def replicas(self, deployment):
        """The replica processes of a deployment, by the title that Ray gives them."""
        title = f"ServeReplica:pictwarden:{deployment}"
        return [each for each in self.processes() if title in " ".join(unless_ended(each.cmdline))]

    @property
    def folder(self):
        """The service's own, by the configuration that HAProxy runs with."""
        haproxys = (each for each in self.processes() if unless_ended(each.name) == "haproxy")
        arguments = (part for each in haproxys for part in unless_ended(each.cmdline))
        return next(Path(part).parents[2] for part in arguments if part.endswith(".cfg"))

    def log_text(self):
        """All that the service's processes have logged, with a one process to its output, and else to files."""
        if self.way == ONE_PROCESS:
            return self.text
        logs = {
            Path(opened.path).parent
            for each in self.processes()
            for opened in open_files(each)
            if "/logs" in opened.path
        }
        files = {file for folder in logs for file in folder.rglob("*") if file.is_file()}
        return "\n".join(file.read_text("utf-8", errors="replace") for file in files)


def open_files(process):
    """Those of a process that may have ended."""
    try:
        return process.open_files()
    except psutil.Error:
        return []


def command_of(way, *options):
    return [sys.executable, "-m", *MODULES[way], *options]


def make_command(target, *options):
    """``make run`` or ``make serve``, which take the environment of the tests for an installation that is complete."""
    return [
        *("make", f"--file={ROOT / 'Makefile'}", f"VENV={sys.prefix}"),
        f"--assume-old={sys.prefix}/{target}.installed",
        *(target, f"ARGS={shlex.join(options)}"),
    ]


def environment_of_a_service(**more):
    secret = {"PICTWARDEN_SECRETS": SECRET, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **HOSTILE_ENVIRONMENT, **secret, **more}


def written(config, folder):
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    return str(file)


def ended(way, folder, *options, timeout_s=60, **more):
    """A service that ends by itself."""
    return subprocess.run(
        command_of(way, *options),
        cwd=folder,
        env=environment_of_a_service(**more),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextlib.contextmanager
def running(config, folder, way=RAY, target=None, **options):
    """The service with ``config``, from its start to its end; asserts that nothing of it is left.

    ``target`` is of the Makefile, which then starts the service. ``options`` are those of :class:`subprocess.Popen`.
    """
    arguments = ("--config", written(config, folder))
    process = subprocess.Popen(
        make_command(target, *arguments) if target else command_of(way, *arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **{"env": environment_of_a_service(), **options},
    )
    service = Service(process, config["http_options"]["port"], way)
    reader = threading.Thread(target=_read, args=(service,), daemon=True)
    reader.start()
    try:
        assert service.announced.wait(START_TIMEOUT_S), f"not announced:\n{service.text}"
        assert process.poll() is None, f"ended with {process.returncode}:\n{service.text}"
        yield service
    finally:
        descendants = service.processes()
        if process.poll() is None:
            # After a signal of its own, make fails whatever its child does.
            (psutil.Process(process.pid).children()[0] if target else process).send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        finally:
            left = [each for each in descendants if is_alive(each)]
            for each in [*left, *([psutil.Process(process.pid)] if process.poll() is None else [])]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            reader.join(10)
            assert process.stdout is not None
            process.stdout.close()
    assert process.returncode == 0, service.text
    assert not left, f"left behind: {left}"
    assert is_free(config["http_options"]["port"])


def _read(service):
    for line in service.process.stdout:
        service.output.append(line)
        if STARTED in line:
            service.announced.set()
    service.announced.set()


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_for(condition, timeout_s=60.0):
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, "waited in vain"
        time.sleep(0.05)


def free_port():
    return free_ports(1)[0]


def drawn(colour, kind="PNG", size=(64, 48)):
    body = io.BytesIO()
    Image.new("RGB", size, colour).save(body, kind)
    return body.getvalue()


def padded(png, size_bytes):
    """The same picture, made longer by a private chunk that every reader passes over."""
    data = bytes(size_bytes - len(png) - 12)
    chunk = b"prVt" + data
    end = png.index(b"IEND") - 4
    return png[:end] + struct.pack(">I", len(data)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[end:]


@pytest.fixture(scope="module")
def local_config():
    """deployments/local.yaml on a port of its own."""
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    return copy.deepcopy(config)


@pytest.fixture(scope="module")
def fake_config(local_config, tmp_path_factory):
    """The same with the engine that has no weights."""
    policy = tmp_path_factory.mktemp("policy") / "fake.yaml"
    policy.write_text(FAKE_POLICY, "utf-8")
    args = local_config["applications"][0]["args"]
    args |= {"preset": None, "model": {"source": "fake"}, "policy": str(policy)}
    return local_config


@pytest.fixture(scope="module")
def way():
    return RAY


@pytest.fixture(scope="module")
def service(config, way, tmp_path_factory):
    with running(config, tmp_path_factory.mktemp("service"), way) as started:
        yield started


@pytest.fixture(scope="session")
def picture():
    """A drawn picture of one colour, as bytes."""
    return drawn
