"""The image ``cpu``, run as examples/compose runs it: a user without rights, a read-only root, and no network.

``make image-test`` builds it and sets the variable; elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.host.secret_files import FILE_SUFFIX
from tests.e2e.image.installation import IMAGE, missing, sizes_bytes
from tests.unit.compose.documents import FOLDER, compose, environment_of_images, example_environment
from tools.image.sizes import MAX_COMPRESSED_BYTES

pytestmark = pytest.mark.slow

SERVICE = compose(example_environment())["services"]["pictwarden"]

STARTED = "the URL for pict-rs, with its secret, is in "
STOPS_S = float(SERVICE["stop_grace_period"].removesuffix("s"))

# This machine may grant a process less than a runtime asks for by default.
_LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]


def podman(*arguments: str, code: int | None = 0) -> str:
    """What the command prints. ``code``: the exit code that it must have; None: any."""
    # crun refuses machines that have both kinds of control groups.
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    command = ["podman", *runtime, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout


def options(secrets: Path) -> Sequence[str]:
    """What compose.yaml says of the service, in podman's words; the network is none, so that nothing is downloaded."""
    given = ["--read-only"] if SERVICE["read_only"] else []
    given += [option for each in SERVICE["cap_drop"] for option in ("--cap-drop", each)]
    given += [option for each in SERVICE["security_opt"] for option in ("--security-opt", each.partition(":")[0])]
    given += [option for each in SERVICE["tmpfs"] for option in ("--tmpfs", each)]
    given += ["--memory", SERVICE["mem_limit"], "--memory-swap", SERVICE["memswap_limit"]]
    for volume in SERVICE["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("./"):
            folder = secrets if source == "./secrets" else (FOLDER / source).resolve()
            given += ["--volume", f"{folder}:{target}:{mode[0].removesuffix(',z')}"]
        else:
            given += ["--volume", f"pictwarden-tests-{source}:{target}"]
    return [*given, "--env", f"{ADMIN_SECRETS_ENV}{FILE_SUFFIX}=/run/secrets/admins", "--network", "none", *_LIMITS]


@dataclass
class Container:
    """A running container."""

    name: str

    def execute(self, *command: str, code: int | None = 0) -> str:
        """As ``docker compose exec -T`` does."""
        return podman("exec", self.name, *command, code=code)

    def python(self, program: str) -> str:
        return self.execute("python", "-c", program)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Container]]:
    if os.environ.get("PICTWARDEN_IMAGE_TEST") != "1" or missing():
        pytest.skip(missing() or "`make image-test` builds the image, and runs this")
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "admins").write_text("alice:a-secret-of-the-tests-and-of-nothing-else\n", "ascii")
    for file, mode in ((secrets / "admins", 0o400), (secrets, 0o500)):
        os.chown(file, 10001, 10001)
        file.chmod(mode)
    names: list[str] = []
    command = [*SERVICE["command"][:-1], "127.0.0.1"]

    def started() -> Container:
        name = f"pictwarden-tests-{len(names)}"
        podman("rm", "--force", "--ignore", name)
        names.append(name)
        podman("run", "--detach", "--name", name, *options(secrets), IMAGE, *command)
        with subprocess.Popen(["podman", "logs", "--follow", name], stdout=subprocess.PIPE, text=True) as log:
            assert log.stdout is not None
            lines: list[str] = []
            for line in log.stdout:
                lines.append(line)
                if STARTED in line:
                    log.terminate()
                    return Container(name)
        raise AssertionError("".join(lines))

    podman("volume", "rm", "--force", "pictwarden-tests-ledger", "pictwarden-tests-weights", code=None)
    yield started
    for name in names:
        podman("rm", "--force", "--ignore", name)
    podman("volume", "rm", "--force", "pictwarden-tests-ledger", "pictwarden-tests-weights")


@pytest.fixture(scope="module")
def container(start: Callable[[], Container]) -> Container:
    return start()


def test_it_refuses_the_canary(container: Container) -> None:
    assert "was refused, as it must be" in container.execute("pictwarden", "check", "--canary")


def test_it_is_healthy(container: Container) -> None:
    podman("healthcheck", "run", container.name)


def test_it_has_no_rights(container: Container) -> None:
    status = dict(line.split(":", 1) for line in container.execute("cat", "/proc/1/status").splitlines())
    assert set(status["Uid"].split()) == {"10001"}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"


def test_it_writes_to_its_volumes_and_to_nothing_else(container: Container) -> None:
    program = """
import os
for folder, _, _ in os.walk('/'):
    if not folder.startswith(('/proc', '/sys', '/dev')) and os.access(folder, os.W_OK):
        print(folder)
"""
    environment = environment_of_images()
    volumes = (environment["STATE_DIRECTORY"], environment["XDG_CACHE_HOME"], "/tmp", "/run/lock", "/var/tmp", "/run")
    writable = container.python(program).split()
    assert writable
    assert all(folder.startswith(volumes) for folder in writable)
    assert container.execute("stat", "--format", "%a %u", volumes[0]).split() == ["700", "10001"]


def test_it_holds_neither_torch_nor_what_installs_packages(container: Container) -> None:
    held = container.python("import importlib.util as u; print([n for n in ('torch', 'ray', 'uv') if u.find_spec(n)])")
    assert held.strip() == "[]"
    assert container.execute("sh", "-c", "command -v strip uv pip || true") == ""


def test_the_commands_of_the_guide_work(container: Container) -> None:
    """Those of docs/install-compose.md that run inside."""
    assert container.execute("cat", "/var/lib/pictwarden/url").startswith("http://127.0.0.1:14051/api/v1/scan/")
    container.execute(
        "sh", "-c", "pictwarden canary /tmp/canary.png >&2; cat /tmp/canary.png | head -c 4 | grep -q PNG"
    )
    container.execute("pictwarden", "backup", "/var/lib/pictwarden/backup.db")
    container.execute("rm", "/var/lib/pictwarden/backup.db")
    container.execute("pictwarden", "decisions")


UPLOAD = """
import socket
from importlib import resources
from urllib.parse import urlsplit

url = urlsplit(open('/var/lib/pictwarden/url').read().strip())
body = (resources.files('serve_app') / 'cli/samples/landscape.jpg').read_bytes()
connection = socket.create_connection((url.hostname, url.port), timeout=30)
head = f'POST {url.path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n'
connection.sendall(head.encode() + body[:1000])
print('begun', flush=True)
while True:
    try:
        socket.create_connection((url.hostname, url.port), timeout=30).close()
    except ConnectionRefusedError:
        break
connection.sendall(body[1000:])
print(connection.recv(100).decode().split()[1], flush=True)
"""
"""Begins to send a picture, and sends the rest once the service takes no connection any more."""


def test_sigterm_has_the_picture_inside_answered(start: Callable[[], Container]) -> None:
    container = start()
    command = ["podman", "exec", container.name, "python", "-c", UPLOAD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as upload:
        assert upload.stdout is not None
        assert upload.stdout.readline() == "begun\n"
        podman("stop", "--time", str(int(STOPS_S)), container.name)
        assert upload.stdout.read() == "200\n"
    state = json.loads(podman("inspect", container.name))[0]["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


def test_the_secret_stays_over_a_restart(start: Callable[[], Container]) -> None:
    first = start()
    url = first.execute("cat", "/var/lib/pictwarden/url")
    podman("stop", "--time", str(int(STOPS_S)), first.name)
    second = start()
    assert second.execute("cat", "/var/lib/pictwarden/url") == url
    podman("healthcheck", "run", second.name)


def test_it_is_small(start: Callable[[], Container]) -> None:
    _, compressed = sizes_bytes(IMAGE)
    assert compressed < MAX_COMPRESSED_BYTES["cpu"]
