"""How much memory the service takes when many senders of very large pictures come at once.

A service that reads whatever comes runs out of memory. This one reserves the memory of a body before it reads it, and
refuses the youngest bodies when all of it is reserved. Exit code 1 if a process that takes bodies held more than is
allowed, if an answer was late, or if no picture was scanned. On Ray Serve the ingress replicas take the bodies. In one
process that one does, and holds the model as well: it is compared with what it held before.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

import aiohttp
import psutil
import typer
from PIL import Image

from benchmarks.command import Anywhere, Out, Run, Url, console, scan_target
from benchmarks.load import post, session
from benchmarks.outcomes import LATE_S, NO_ANSWER
from benchmarks.processes import Peak, replicas, tree
from benchmarks.record import at_least, at_most, table

CLOSED = "closed without an answer"
"""The outcome of a sender that was still sending when its connection was closed."""

_UNIQUE_BYTES = 16
_PIECE_BYTES = 262_144


def bench(
    url: Url = None,
    senders: Annotated[int, typer.Option(min=1, max=2000, help="Connections that send at once.")] = 500,
    body_mb: Annotated[float, typer.Option(min=0.1, help="Megabytes of each picture.")] = 40.0,
    memory_gb: Annotated[float, typer.Option(min=0, help="The most that a process may grow by.")] = 1.2,
    out: Out = None,
    anywhere: Anywhere = False,
) -> None:
    """Send, count the answers, and read the peak of the memory of what takes the bodies in."""
    target = scan_target(url, anywhere)
    run = Run("flood", 0, out, target)
    # The peaks begin anew: loading the model may have taken more than the bodies will.
    peak = Peak(_takers(run.root))
    outcomes = asyncio.run(_send(target, senders, large_picture(round(body_mb * 1e6))))
    rows = (
        (answer, count, max(took_s for each, took_s in outcomes if each == answer))
        for answer, count in sorted(Counter(each for each, _ in outcomes).items())
    )
    held_gb = peak.of_each_gb()
    tables = [
        table("Answers", {"answer": 0, "senders": 0, "slowest, s": 1}, rows),
        table("Memory (RSS)", {"takes bodies": 0, "before, GB": 2, "peak, GB": 2}, held_gb),
    ]
    grown_gb = max((peak_gb - before_gb for _, before_gb, peak_gb in held_gb), default=None)
    others = sum(answer not in {"200", "503", CLOSED} for answer, _ in outcomes)
    checks = [
        at_most("the slowest answer took", max(took_s for _, took_s in outcomes), LATE_S, "s", 1),
        at_most("a process that takes bodies grew, at its peak, by", grown_gb, memory_gb, "GB", 2),
        at_least("pictures that were scanned", sum(answer == "200" for answer, _ in outcomes), 1),
        at_most("other answers than 200, 503 and a closed connection", others, 0),
    ]
    run.finish(f"Flood: {senders} senders of {body_mb:g} MB at once", tables, checks)


def _takers(root: psutil.Process | None) -> list[psutil.Process]:
    """The processes that read bodies: the ingress replicas, or the one process; none where they cannot be seen."""
    return (replicas("Ingress", tree(root)) or [root]) if root else []


def large_picture(size_bytes: int) -> memoryview:
    """A BMP of about ``size_bytes``, whose last bytes are pixels and may be any bytes."""
    side_px = round((size_bytes / 3) ** 0.5)
    body = io.BytesIO()
    Image.new("RGB", (side_px, side_px)).save(body, "BMP")
    return body.getbuffer()


async def _send(url: str, senders: int, picture: memoryview) -> list[tuple[str, float]]:
    """For each sender what it was answered, and after how many seconds."""

    async def parts() -> AsyncIterator[bytes | memoryview]:
        shared = picture[:-_UNIQUE_BYTES]
        for at in range(0, len(shared), _PIECE_BYTES):
            yield shared[at : at + _PIECE_BYTES]
        yield secrets.token_bytes(_UNIQUE_BYTES)

    async def send(client: aiohttp.ClientSession) -> tuple[str, float]:
        began_s = time.perf_counter()
        status, _ = await post(client, url, parts(), "image/bmp")
        return CLOSED if status == NO_ANSWER else str(status), time.perf_counter() - began_s

    with console.status("sending"):
        async with session() as client:
            return await asyncio.gather(*(send(client) for _ in range(senders)))
