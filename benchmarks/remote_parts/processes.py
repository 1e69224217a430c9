"""Workers and a link to them as processes: the load is made on the same cores, and none of them is to wait for it.

``python -m benchmarks.remote_parts.processes worker URL NAME VIEW_S`` is a worker of a set speed, with its secret in
the environment; ``relay PORT DELAY_S`` is a link to a front. Each says when it is there, and ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil

from benchmarks.processes import end_trees
from benchmarks.remote_parts.relay import Link, relaying
from benchmarks.remote_parts.workers import NotAcceptedError, accepted, work_at
from benchmarks.servers import REPOSITORY

SECRET_ENV = "PICTWARDEN_BENCHMARK_WORKER"

_AGAIN_S = 0.2
_STOP_TIMEOUT_S = 20.0


@contextlib.contextmanager
def worker(url: str, name: str, view_s: float) -> Iterator[psutil.Popen]:
    """A worker that takes so long for a view, once the front has taken it; it ends with the block."""
    with _started("worker", url, name, str(view_s)) as (process, _):
        yield process


@contextlib.contextmanager
def relay(front_port: int, delay_s: float) -> Iterator[str]:
    """Where a front is reached over a link with this delay each way, until the block ends."""
    with _started("relay", str(front_port), str(delay_s)) as (_, url):
        yield url


@contextlib.contextmanager
def real_worker(url: str, model: str, secret_file: Path) -> Iterator[psutil.Popen]:
    """``pictwarden worker`` with a model of its own, until the block ends. It may not be connected yet."""
    arguments = ("worker", "--url", url, "--secret-file", str(secret_file), "--model", model)
    process = psutil.Popen(
        [sys.executable, "-m", "serve_app.cli", *arguments],
        cwd=secret_file.parent,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        end_trees([process], _STOP_TIMEOUT_S)
        process.wait()


@contextlib.contextmanager
def _started(*arguments: str) -> Iterator[tuple[psutil.Popen, str]]:
    """A process of this module, and the line that it says once it is there."""
    process = psutil.Popen(
        [sys.executable, "-m", "benchmarks.remote_parts.processes", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        end_trees([process], _STOP_TIMEOUT_S)
        process.wait()
        process.stdout.close()


async def _work(url: str, name: str, view_s: float) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError, NotAcceptedError):
            async with accepted(url, os.environ[SECRET_ENV], name, view_s) as connection:
                print(connection.name, flush=True)
                await work_at(connection, view_s)
        await asyncio.sleep(_AGAIN_S)


async def _relay(front_port: int, delay_s: float) -> None:
    async with relaying(front_port, Link(delay_s)) as found:
        print(found.url, flush=True)
        await asyncio.Event().wait()


async def _until_input_ends(work: asyncio.Task[None]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await asyncio.wait([work, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _main(kind: str, *arguments: str) -> None:
    if kind == "worker":
        url, name, view_s = arguments
        work = _work(url, name, float(view_s))
    else:
        port, delay_s = arguments
        work = _relay(int(port), float(delay_s))
    await _until_input_ends(asyncio.create_task(work))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
