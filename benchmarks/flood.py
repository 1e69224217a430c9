"""How much memory the ingress takes when many senders of very large pictures come at once.

A service that reads whatever comes runs out of memory. This one reserves the memory of a body before it reads it, and
refuses the youngest bodies when all of it is reserved. Exit code 1 if a process that takes bodies held more than is
allowed, if an answer was late, or if no picture was scanned.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from benchmarks.command import OUT, Anywhere, Out, Run, Url, console, scan_target
from benchmarks.load import Client
from benchmarks.outcomes import LATE_S, NO_ANSWER
from benchmarks.processes import peak_bytes, replicas, tree
from benchmarks.report import Check, Column, Section, Table, at_least, at_most

CLOSED = "closed without an answer"
"""The outcome of a sender that was still sending when its connection was closed."""

_UNIQUE_BYTES = 16
_PIECE_BYTES = 262_144


def bench(
    url: Url = None,
    senders: Annotated[int, typer.Option(min=1, max=2000, help="Connections that send at once.")] = 500,
    body_mb: Annotated[float, typer.Option(min=0.1, help="Megabytes of each picture.")] = 40.0,
    memory_gb: Annotated[float, typer.Option(min=0, help="The most that an ingress replica may come to hold.")] = 1.5,
    out: Out = OUT,
    anywhere: Anywhere = False,
) -> None:
    """Send, count the answers, and read the peak of the memory of what takes the bodies in."""
    target = scan_target(url, anywhere)
    run = Run("flood", 0, target)
    outcomes = asyncio.run(_send(target, senders, large_picture(round(body_mb * 1e6))))
    columns = (Column("answer"), Column("senders"), Column("slowest, s", 1))
    rows = tuple(
        (answer, count, max(took_s for each, took_s in outcomes if each == answer))
        for answer, count in sorted(Counter(each for each, _ in outcomes).items())
    )
    peak_gb = None
    if run.root is not None:
        # In one process that one takes the bodies.
        takers = replicas("Ingress", tree(run.root)) or [run.root]
        peak_gb = max(peak_bytes(each.pid) for each in takers) / 1e9
    others = sorted({answer for answer, _ in outcomes} - {"200", "503", CLOSED})
    checks = [
        at_most("the slowest answer took", max(took_s for _, took_s in outcomes), LATE_S, "s", 1),
        at_most("a process that takes bodies held, at its peak", peak_gb, memory_gb, "GB", 2),
        at_least("pictures that were scanned", sum(answer == "200" for answer, _ in outcomes), 1),
        Check("other answers than 200, 503 and a closed connection", ", ".join(others) or "none", "none", not others),
    ]
    note = f"{senders} senders of {body_mb:g} MB, at once."
    run.finish("Flood", [Section("Answers", note, Table(columns, rows))], checks, out)


def large_picture(size_bytes: int) -> tuple[bytes, memoryview]:
    """A BMP of about ``size_bytes`` in two parts, between which lie pixels that may be any bytes."""
    side_px = max(8, int((size_bytes / 3) ** 0.5) // 4 * 4)
    pixels = bytes(3 * side_px * side_px)
    numbers = (54 + len(pixels), 0, 54, 40, side_px, side_px)
    head = b"BM" + b"".join(number.to_bytes(4, "little") for number in numbers) + b"\x01\x00\x18\x00" + bytes(24)
    return head, memoryview(pixels)


async def _send(url: str, senders: int, picture: tuple[bytes, memoryview]) -> list[tuple[str, float]]:
    """For each sender what it was answered, and after how many seconds."""
    head, pixels = picture

    async def parts() -> AsyncIterator[bytes | memoryview]:
        yield head + secrets.token_bytes(_UNIQUE_BYTES)
        for at in range(_UNIQUE_BYTES, len(pixels), _PIECE_BYTES):
            yield pixels[at : at + _PIECE_BYTES]

    async def send(client: Client) -> tuple[str, float]:
        began_s = time.perf_counter()
        status, _ = await client.post(parts(), "image/bmp")
        return CLOSED if status == NO_ANSWER else str(status), time.perf_counter() - began_s

    with console.status("sending"):
        async with Client(url) as client:
            return await asyncio.gather(*(send(client) for _ in range(senders)))
