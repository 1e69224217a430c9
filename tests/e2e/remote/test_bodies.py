"""A worker that takes bodies: the same answers as with views, whatever the file, and whatever becomes of the worker."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import load
from benchmarks.remote_parts.relay import Link, Way, relaying
from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import Front, all_scanned, config_of, serving
from tests.e2e.remote.processes import until
from tests.serve.conftest import drawn, free_port

SELDOM = 10**9
SAME = ("verdict", "reason", "scores", "view", "views_seen", "frames_seen", "frames_total", "truncated")
_A_VIEW_BYTES = 224 * 224 * 3


def _animated() -> bytes:
    body = io.BytesIO()
    frames = [Image.new("RGB", (90, 60), colour) for colour in ("blue", "green", "red")]
    frames[0].save(body, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return body.getvalue()


def _costly() -> bytes:
    """An animation in few bytes, each frame of which has nearly as many pixels as are taken."""
    body = io.BytesIO()
    Image.new("P", (6300, 6300)).save(body, "GIF")
    still = body.getvalue()
    behind_palette = 13 + 3 * 2 ** ((still[10] & 7) + 1)
    return still[:behind_palette] + still[behind_palette:-1] * 8 + still[-1:]


FILES = {
    "jpeg": drawn("blue", "JPEG", (320, 240)),
    "png": drawn("red", "PNG", (320, 240)),
    "webp": drawn("red", "WEBP", (320, 240)),
    "avif": drawn("blue", "AVIF", (320, 240)),
    "long": drawn("red", "JPEG", (1200, 200)),
    "gif": _animated(),
}
UNSCANNABLE = {
    "no picture": b"this is no picture at all",
    "broken": drawn("blue", "PNG", (320, 240))[:60] + b"\xff" * 200,
    "cut": drawn("blue", "JPEG", (320, 240))[:-300],
    "empty png": b"\x89PNG\r\n\x1a\n",
}


@pytest.fixture
def bodies_front(tmp_path: Path) -> Iterator[Front]:
    remote = {"port": free_port(), "sends": "bodies", "probe_every": SELDOM, "double_every": 1}
    with serving(config_of(tmp_path, remote=remote), tmp_path) as front:
        yield front


async def answers_of(front: Front) -> dict[str, tuple[int, dict[str, Any]]]:
    async with load.session() as client:
        found = {}
        for name, body in {**FILES, **UNSCANNABLE}.items():
            status, text = await load.post(client, front.url, body)
            answer = json.loads(text)
            found[name] = status, {each: answer[each] for each in SAME}
    return found


async def test_the_same_answers_as_with_views(bodies_front: Front, tmp_path: Path, working: Working) -> None:
    """Every answer of the worker is compared with what the front decodes itself, too."""
    front = bodies_front
    async with relaying(front.remote_port, Link(0.0, 1e9)) as relay:
        with working(relay.url, "--takes", "bodies", "--name", "decoder") as worker:
            await front.trusts("home/decoder")
            before_bytes = relay.passed_bytes(Way.TO_WORKER)
            by_bodies = await answers_of(front)
            files_bytes = sum(map(len, [*FILES.values(), *UNSCANNABLE.values()]))
            assert files_bytes < relay.passed_bytes(Way.TO_WORKER) - before_bytes < files_bytes + _A_VIEW_BYTES / 2
            assert worker.is_running
            assert not front.process.said("is not trusted")
    folder = tmp_path / "views"
    folder.mkdir()
    with serving(config_of(folder), folder) as other, working(other.remote_url, "--name", "scorer"):
        await other.trusts("home/scorer")
        assert by_bodies == await answers_of(other)


async def test_a_worker_that_decodes_is_killed_and_another_takes_views(bodies_front: Front, working: Working) -> None:
    front = bodies_front
    with (
        working(front.remote_url, "--takes", "bodies", "--name", "decoder") as decoder,
        working(front.remote_url, "--name", "scorer", owner="rented"),
    ):
        await front.trusts("home/decoder")
        await front.trusts("rented/scorer")
        assert all_scanned(await front.scan_all(10, per_s=20))
        decoder.kill()
        assert all_scanned(await front.scan_all(10, per_s=20))
        await until(lambda: front.process.said("has left"), told=front.process.text)
        assert all_scanned(await front.scan_all(10, per_s=20))


async def test_a_hostile_file_costs_a_worker_no_more_than_a_decoder(tmp_path: Path, working: Working) -> None:
    remote = {"port": free_port(), "sends": "bodies"}
    # Many times what an honest picture takes, and a small part of what the hostile one would.
    config = config_of(tmp_path, remote=remote, limits={"max_decode_s": 0.2})
    hostile = _costly()
    assert len(hostile) < 1_000_000
    with (
        serving(config, tmp_path) as front,
        working(front.remote_url, "--takes", "bodies", "--name", "decoder") as worker,
    ):
        await front.trusts("home/decoder")
        async with load.session() as client:
            status, text = await load.post(client, front.url, hostile)
        assert status == 422, text
        answer = json.loads(text)
        assert answer["reason"] == "undecodable"
        assert all_scanned(await front.scan_all(10, per_s=20))
        assert worker.is_running
        assert not front.process.said("has left")
