"""``make pin-images``, against a registry of images and an index of packages that run here."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tools.image.pins import REDIS, PinError, argument, pin, torch_cpu_lock, with_argument

ROOT = Path(__file__).parents[3]

TOKEN = "a-token-for-everybody"
MANIFEST = "/v2/library/python/manifests/3.11-slim-bookworm"
REDIS_MANIFEST = "/v2/library/redis/manifests/7.4"
LOCK = """\
timm==1.0.31 \\
    --hash=sha256:00
torch==2.15.0 \\
    --hash=sha256:01
torchvision==0.29.2 \\
    --hash=sha256:02
"""

# What the Dockerfile needs for the tool to find its place.
DOCKERFILE = "ARG PYTHON_IMAGE=python:3.11-slim-bookworm\nFROM ${PYTHON_IMAGE}\nARG TORCH_CPU_INDEX=\nRUN true\n"


def manifests(*architectures: str) -> bytes:
    listed = [{"platform": {"os": "linux", "architecture": each}} for each in architectures]
    return json.dumps({"schemaVersion": 2, "manifests": listed}).encode()


class StandIn(ThreadingHTTPServer):
    """A registry that wants a token, which anybody gets, and an index of packages. ``answers`` are by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.answers = {
            MANIFEST: manifests("386", "amd64", "arm64"),
            REDIS_MANIFEST: manifests("amd64", "arm64", "riscv64"),
        }
        self.accepted: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/token":
            is_ours = query == "service=stand-in&scope=repository%3Alibrary%2Fpython%3Apull"
            self.answer(200 if is_ours else 400, json.dumps({"token": TOKEN}).encode())
        elif path.startswith("/v2/") and self.headers["Authorization"] != f"Bearer {TOKEN}":
            scope = "repository:library/python:pull"
            challenge = f'Bearer realm="{self.server.url}/token",service="stand-in",scope="{scope}"'
            self.answer(401, b"", ("WWW-Authenticate", challenge))
        elif path in self.server.answers:
            self.server.accepted.append(self.headers["Accept"])
            kind = "text/html" if path.endswith("/") else "application/octet-stream"
            self.answer(200, self.server.answers[path], ("Content-Type", kind))
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for header in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "serve.lock").write_text(LOCK, "utf-8")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE, "utf-8")
    (tmp_path / REDIS).parent.mkdir(parents=True)
    shutil.copy(ROOT / REDIS, tmp_path / REDIS)
    return tmp_path


@pytest.fixture
def command(clone: Path) -> Callable[..., tuple[int, str]]:
    app = typer.Typer()
    app.command()(pin)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--folder", str(clone), *arguments])
        return result.exit_code, result.output

    return run


def offer_torch(stand_in: StandIn, folder: Path) -> dict[str, str]:
    """Builds for two architectures, as torch's index has them, and their hashes."""
    hashes = {}
    for name, version in (("torch", "2.15.0+cpu"), ("torchvision", "0.29.2+cpu")):
        links = []
        for architecture in ("x86_64", "aarch64"):
            file = folder / f"{name}-{version}-cp311-cp311-manylinux_2_28_{architecture}.whl"
            with zipfile.ZipFile(file, "w") as wheel:
                info = f"{name}-{version}.dist-info"
                wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
                wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {architecture}\n")
                wheel.writestr(f"{info}/RECORD", "")
            content = file.read_bytes()
            hashes[file.name] = hashlib.sha256(content).hexdigest()
            path = f"/cpu/{file.name}".replace("+", "%2B")
            stand_in.answers[path] = content
            links.append(f'<a href="{path}#sha256={hashes[file.name]}">{file.name}</a>')
        stand_in.answers[f"/cpu/{name}/"] = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
    return hashes


def test_the_base_image_gets_the_digest_of_every_architecture(
    stand_in: StandIn, clone: Path, command: Callable[..., tuple[int, str]]
) -> None:
    code, said = command("--registry", stand_in.url)
    digest = hashlib.sha256(stand_in.answers[MANIFEST]).hexdigest()
    pinned = f"python:3.11-slim-bookworm@sha256:{digest}"
    redis = f"redis:7.4@sha256:{hashlib.sha256(stand_in.answers[REDIS_MANIFEST]).hexdigest()}"
    assert (code, said) == (0, f"base image: {pinned}\nRedis: {redis}\n")
    unpinned = (ROOT / REDIS).read_text("utf-8")
    assert (clone / REDIS).read_text("utf-8") == unpinned.replace("image: redis:7.4\n", f"image: {redis}\n") != unpinned
    assert (clone / "Dockerfile").read_text("utf-8") == DOCKERFILE.replace("python:3.11-slim-bookworm", pinned)
    assert "vnd.oci.image.index" in stand_in.accepted[0], "otherwise a registry answers with one architecture"


def test_a_pin_is_renewed(stand_in: StandIn, clone: Path, command: Callable[..., tuple[int, str]]) -> None:
    command("--registry", stand_in.url)
    stand_in.answers[MANIFEST] = manifests("amd64", "arm64")
    assert command("--registry", stand_in.url)[0] == 0
    digest = hashlib.sha256(stand_in.answers[MANIFEST]).hexdigest()
    image = argument("PYTHON_IMAGE", (clone / "Dockerfile").read_text("utf-8"))
    assert image == f"python:3.11-slim-bookworm@sha256:{digest}"
    assert (clone / REDIS).read_text("utf-8").count("@sha256:") == 1


def test_an_image_for_one_architecture_is_refused(
    stand_in: StandIn, clone: Path, command: Callable[..., tuple[int, str]]
) -> None:
    stand_in.answers[MANIFEST] = manifests("amd64")
    code, said = command("--registry", stand_in.url)
    assert (code, said) == (1, "python:3.11-slim-bookworm has no image for arm64: choose a tag that has\n")
    assert (clone / "Dockerfile").read_text("utf-8") == DOCKERFILE


def test_an_image_that_is_not_there_is_told(stand_in: StandIn, command: Callable[..., tuple[int, str]]) -> None:
    del stand_in.answers[MANIFEST]
    code, said = command("--registry", stand_in.url)
    assert code == 1
    assert "answers 404" in said


def test_torchs_cpu_builds_are_locked_for_every_architecture(
    stand_in: StandIn, clone: Path, tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    hashes = offer_torch(stand_in, tmp_path)
    code, said = command("--torch-index", f"{stand_in.url}/cpu")
    assert (code, said) == (0, "torch's CPU builds: requirements/torch-cpu.lock\n")
    lock = (clone / "requirements" / "torch-cpu.lock").read_text("utf-8")
    assert "torch==2.15.0+cpu" in lock
    assert "torchvision==0.29.2+cpu" in lock
    assert all(digest in lock for digest in hashes.values())
    assert "127.0.0.1" not in lock, "the index is an argument of the build"
    assert argument("TORCH_CPU_INDEX", (clone / "Dockerfile").read_text("utf-8")) == f"{stand_in.url}/cpu"


def test_an_index_without_the_locked_version_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    offer_torch(stand_in, tmp_path)
    with pytest.raises(PinError, match=r"does not have torch==2\.14\.0\+cpu"):
        torch_cpu_lock(f"{stand_in.url}/cpu", LOCK.replace("torch==2.15.0", "torch==2.14.0"))


def test_nothing_to_pin_is_a_wrong_call(command: Callable[..., tuple[int, str]]) -> None:
    code, said = command()
    assert code == 2
    assert "--registry" in said


def test_the_dockerfile_has_the_arguments() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for name in ("PYTHON_IMAGE", "TORCH_CPU_INDEX"):
        assert argument(name, with_argument(name, "another", dockerfile)) == "another"
    with pytest.raises(PinError, match="no line ARG"):
        argument("NONE", dockerfile)
