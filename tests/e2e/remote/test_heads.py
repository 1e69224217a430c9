"""A policy with a head that was trained here is scored by a worker as by the service itself."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks import load
from serve_app.cli.main import app
from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import ACCEPTED, REJECTED, Front, config_of, serving

PICTURES = 24
BRIGHTEST = 100 + 5 * PICTURES


def picture(red: int, green: int, blue: int) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (32, 32), (red, green, blue)).save(body, "PNG")
    return body.getvalue()


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """Of what is red."""
    for folder in ("red", "others"):
        (tmp_path / folder).mkdir()
    for number in range(PICTURES):
        light = 100 + 5 * number
        (tmp_path / "red" / f"{number}.png").write_bytes(picture(light, number, 10))
        (tmp_path / "others" / f"{number}.png").write_bytes(picture(number, 10, light))
    file = tmp_path / "reds.safetensors"
    options = ["--positive", str(tmp_path / "red"), "--negative", str(tmp_path / "others"), "--output", str(file)]
    result = CliRunner().invoke(app, ["train", "reds", "--model", "fake", *options])
    assert result.exit_code == 0, result.output
    return file


def config_with(folder: Path, head: Path) -> dict[str, Any]:
    folder.mkdir()
    config = config_of(folder)
    policy = folder / "heads.yaml"
    policy.write_text(
        f"""\
policy: heads
model: fake
concepts:
  reds: {{score: head, file: "{head}", digest: "{hashlib.sha256(head.read_bytes()).hexdigest()}"}}
  green: {{score: cosine, prompts: [green]}}
rules:
  - {{name: reds, verdict: reject, when: {{concept: reds, above: 0.5}}}}
""",
        "utf-8",
    )
    config["applications"][0]["args"]["policy"] = str(policy)
    return config


async def answers(front: Front, bodies: Sequence[bytes]) -> list[tuple[int, dict[str, Any]]]:
    async with load.session() as client:
        answered = [await load.post(client, front.url, each) for each in bodies]
    return [(status, json.loads(body)) for status, body in answered]


async def test_a_worker_scores_a_trained_head_as_the_service_itself(
    tmp_path: Path, head: Path, working: Working
) -> None:
    red = [picture(light, 20, 40) for light in range(BRIGHTEST, BRIGHTEST + 4)]
    bodies = [*red, *(picture(20, 40, light) for light in range(BRIGHTEST, BRIGHTEST + 4))]
    with serving(config_with(tmp_path / "here", head), tmp_path / "here", scorers="here") as service:
        await service.has_worker()
        expected = await answers(service, bodies)
    with (
        serving(config_with(tmp_path / "front", head), tmp_path / "front") as front,
        working(front.remote_url) as worker,
    ):
        await front.has_worker()
        answered = await answers(front, bodies)
        assert worker.is_running
    assert [status for status, _ in answered] == [REJECTED] * 4 + [ACCEPTED] * 4
    for (status, body), (status_here, body_here) in zip(answered, expected, strict=True):
        assert (status, body["rule"], body["model"]) == (status_here, body_here["rule"], body_here["model"])
        assert body["scores"] == pytest.approx(body_here["scores"], abs=1e-3)
