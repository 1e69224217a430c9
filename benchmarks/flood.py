"""``make bench-flood``: many senders of very large pictures at once, and the memory that the ingress takes for them.

A service that reads whatever comes runs out of memory. This one reserves the memory of a body before it reads it, and
refuses the youngest bodies when all of it is reserved. Exit code 1 if the ingress held more than is allowed, if an
answer was late, or if no picture was scanned.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import hardware
from benchmarks.client import Client, Parts
from benchmarks.target import Anywhere, Url, scan_target

LATE_S = 8.5
"""The service's own deadline and the half second that an answer may take longer."""

CLOSED = "closed without an answer"
"""The outcome of a sender that was still sending when its connection was closed."""

_INGRESS = "ray::ServeReplica:pictwarden:Ingress"
_UNIQUE_BYTES = 16
_PIECE_BYTES = 65_536

console = Console(highlight=False)


def bench(
    url: Url = None,
    senders: Annotated[int, typer.Option(min=1, max=2000, help="Connections that send at once.")] = 500,
    body_mb: Annotated[float, typer.Option(min=0.1, help="Megabytes of each picture.")] = 40.0,
    memory_gb: Annotated[float, typer.Option(min=0, help="The most that an ingress replica may come to hold.")] = 1.5,
    anywhere: Anywhere = False,
) -> None:
    """Send, count the answers, and read the peak of the ingress replicas' memory."""
    target = scan_target(url, anywhere, console)
    console.print(f"{hardware.describe()}; the load is made on the same cores; {senders} senders of {body_mb:g} MB")
    outcomes = asyncio.run(_send(target, senders, large_picture(round(body_mb * 1e6))))
    console.print(_table(outcomes))
    slowest_s = max(took_s for _, took_s in outcomes)
    peak_gb = max((_peak_bytes(process) for process in _ingress_replicas()), default=0) / 1e9
    checks = {
        f"the slowest answer took {slowest_s:.1f} s; allowed are {LATE_S} s": slowest_s <= LATE_S,
        f"an ingress replica held {peak_gb:.2f} GB at its peak; allowed are {memory_gb:g} GB": 0 < peak_gb <= memory_gb,
        "pictures were scanned": any(outcome == "200" for outcome, _ in outcomes),
        "every other one was refused with 503 or closed": {name for name, _ in outcomes} <= {"200", "503", CLOSED},
    }
    for claim, holds in checks.items():
        console.print(f"{'yes' if holds else 'NO '}  {claim}")
    raise typer.Exit(0 if all(checks.values()) else 1)


def large_picture(size_bytes: int) -> tuple[memoryview, memoryview]:
    """A BMP of about ``size_bytes`` in two parts, between which lie pixels that may be any bytes."""
    side_px = max(8, int((size_bytes / 3) ** 0.5) // 4 * 4)
    pixels = np.zeros((side_px, side_px, 3), np.uint8)
    pixels[side_px // 4 : side_px // 2, side_px // 4 : side_px // 2] = 200
    head = b"".join(
        (
            b"BM",
            (54 + pixels.nbytes).to_bytes(4, "little"),
            bytes(4),
            (54).to_bytes(4, "little"),
            (40).to_bytes(4, "little"),
            side_px.to_bytes(4, "little"),
            side_px.to_bytes(4, "little"),
            (1).to_bytes(2, "little"),
            (24).to_bytes(2, "little"),
            bytes(24),
        )
    )
    return memoryview(head), memoryview(pixels.tobytes())


async def _send(url: str, senders: int, picture: tuple[memoryview, memoryview]) -> list[tuple[str, float]]:
    """For each sender what it was answered, and after how many seconds."""
    head, pixels = picture
    pieces = [pixels[at : at + _PIECE_BYTES] for at in range(_UNIQUE_BYTES, len(pixels), _PIECE_BYTES)]

    async def send(client: Client) -> tuple[str, float]:
        parts: Parts = [head, secrets.token_bytes(_UNIQUE_BYTES), *pieces]
        began_s = time.perf_counter()
        try:
            outcome = str((await client.post(parts, "image/bmp")).status)
        except OSError:
            outcome = CLOSED
        return outcome, time.perf_counter() - began_s

    async with Client(url) as client:
        return await asyncio.gather(*(send(client) for _ in range(senders)))


def _table(outcomes: list[tuple[str, float]]) -> Table:
    table = Table("answer", box=None, pad_edge=False)
    table.add_column("senders", justify="right")
    table.add_column("slowest", justify="right")
    for outcome, count in sorted(Counter(name for name, _ in outcomes).items()):
        table.add_row(outcome, str(count), f"{max(took_s for name, took_s in outcomes if name == outcome):.1f} s")
    return table


def _ingress_replicas() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(_INGRESS):
                found.append(process)
    return found


def _peak_bytes(process: psutil.Process) -> int:
    """The most resident memory that ``process`` ever had (VmHWM, proc(5))."""
    lines = Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    typer.run(bench)
