"""``pictwarden worker``: the real process beside a small front on loopback, and its options."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.models.factory import open_engine
from serve_app.remote.messages import Leaving, Ping, Pong, Refusal, Refused, Scored
from tests.unit.worker.front import PATIENT_S, SECRET, Front, views, wanted, work

ROOT = Path(__file__).parents[4]
LABELS = ("a red circle", "a blue square")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    async with front.listening():
        yield front


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    return written(tmp_path, SECRET)


def written(folder: Path, secret: str) -> Path:
    file = folder / "worker-secret"
    file.write_text(f"{secret}\n", "utf-8")
    file.chmod(0o600)
    return file


@contextlib.asynccontextmanager
async def working(url: str, secret_file: Path, *options: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "serve_app.cli", "worker", "--url", url, "--secret-file", str(secret_file), *options),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=secret_file.parent,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Its exit code, and what it said on both streams."""
    async with asyncio.timeout(PATIENT_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_it_scores_until_it_is_stopped(front: Front, secret_file: Path) -> None:
    async with working(front.url, secret_file, "--name", "desktop", "--device", "cpu", "--threads", "1") as process:
        connection = await front.connection()
        hello = await connection.accept(wanted("embedded:demo-shapes", LABELS))
        engine = open_engine("embedded:demo-shapes", LABELS, device="cpu")
        pixels = views(2, engine.identity.image_size_px)
        await connection.send(work(1, pixels))
        np.testing.assert_allclose((await connection.next(Scored)).values, engine.encode(pixels), atol=1e-5)
        process.send_signal(signal.SIGTERM)
        await connection.next(Leaving)
        code, out, err = await ended(process)
    assert (code, err) == (0, "")
    lines = [line.split(" ", 2)[2] for line in out.splitlines()]
    assert lines[0] == "INFO loading embedded:demo-shapes: a download takes minutes, once"
    (joined,) = [line for line in lines if line.startswith(f"INFO works for {front.url} as owner/desktop: ")]
    assert f"{engine.identity} on {hello.device}, " in joined
    assert " ms a view" in joined
    assert lines[-1] == f"INFO left {front.url}"
    assert SECRET not in out
    assert [each.name for each in secret_file.parent.iterdir()] == [secret_file.name], "nothing else is written there"


async def test_ctrl_c_answers_the_work_inside(front: Front, secret_file: Path) -> None:
    async with working(front.url, secret_file) as process:
        connection = await front.connection()
        await connection.accept(wanted("fake:3000ms"))
        await connection.send(work(1, views(1, 224)), Ping(1))
        await connection.next(Pong)  # the work before it is taken
        process.send_signal(signal.SIGINT)
        await connection.next(Leaving)
        assert (await connection.next(Scored)).number == 1
        assert (await ended(process))[0] == 0


async def test_a_second_ctrl_c_ends_it_at_once(front: Front, secret_file: Path) -> None:
    async with working(front.url, secret_file) as process:
        connection = await front.connection()
        await connection.accept(wanted("fake:5000ms"))
        await connection.send(work(1, views(1, 224)), Ping(1))
        await connection.next(Pong)
        process.send_signal(signal.SIGINT)
        await connection.next(Leaving)
        process.send_signal(signal.SIGINT)
        assert (await ended(process))[0] == 0
        await connection.closed.wait()


async def test_it_can_be_stopped_while_its_front_is_away(front: Front, secret_file: Path) -> None:
    front.answers = 503
    async with working(front.url, secret_file, "--log-format", "json") as process:
        assert process.stdout is not None
        line = json.loads(await process.stdout.readline())
        assert (line["event"], line["level"], line["component"]) == ("front_lost", "warning", "worker")
        assert line["again_in_s"] <= 1.0
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0


async def test_a_wrong_secret_ends_it_with_the_way_out_and_is_not_told(front: Front, tmp_path: Path) -> None:
    async with working(front.url, written(tmp_path, "NAME:a-secret-of-nobody")) as process:
        code, out, err = await ended(process)
    assert (code, out) == (1, "")
    assert err == (
        f"{front.url} refused the secret (it answered 401): write the secret that the service has in "
        "PICTWARDEN_WORKER_SECRETS into --secret-file\n"
    )


async def test_a_secret_may_stand_behind_its_name(front: Front, tmp_path: Path) -> None:
    async with working(front.url, written(tmp_path, f"alice:{SECRET}")):
        await front.connection()


async def test_a_refusal_for_good_ends_it(front: Front, secret_file: Path) -> None:
    async with working(front.url, secret_file) as process:
        await (await front.connection()).send(Refused(Refusal.DISTRUSTED, "it failed a probe picture"))
        code, _, err = await ended(process)
    assert (code, err) == (1, "refused (distrusted): it failed a probe picture\n")


async def test_a_model_that_is_not_there_ends_it(front: Front, secret_file: Path) -> None:
    async with working(front.url, secret_file, "--model", "./missing") as process:
        connection = await front.connection()
        await connection.send(wanted())
        assert (await connection.next(Refused)).reason is Refusal.MODEL
        code, _, err = await ended(process)
    assert (code, err) == (1, "refused (model): model folder missing does not exist\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "http://front.example"], "--insecure-http"),
        (["--url", "ftp://front.example"], "is no address of a front"),
        (["--url", "front.example"], "is no address of a front"),
        (["--url", "https://alice:word@front.example"], "is no address of a front"),
        (["--url", "https://front.example:99999"], "is no address of a front"),
        (["--url", "https://front.example/?a=b"], "is no address of a front"),
        (["--name", "a b"], "is no name of a worker"),
        (["--secret-file", "missing"], "which cannot be read"),
        (["--engine", "openvino", "--device", "cuda"], "device is auto or cpu"),
        (["--threads", "0"], "--threads"),
        (["--device", "npu"], "--device"),
    ],
)
def test_a_wrong_option_is_told_before_anything_begins(
    secret_file: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("TERMINAL_WIDTH", "1000")
    given = ["--url", "https://front.example", "--secret-file", str(secret_file)]
    done = CliRunner().invoke(app, ["worker", *given, *options])
    assert done.exit_code == 2
    assert message in done.output


def test_a_secret_that_can_be_guessed_is_none(tmp_path: Path) -> None:
    options = ["worker", "--url", "https://front.example", "--secret-file", str(written(tmp_path, "short"))]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 2
    assert "is too short" in done.output
