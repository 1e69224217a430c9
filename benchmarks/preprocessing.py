"""``make bench-preprocessing``: pictures a second that one core decodes and cuts into views, by type and size.

No service runs: this is the preprocessor's own work, to size a cluster by. Peak memory is that of a process of its own
for each kind of media, above what it holds with everything imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import hardware
from benchmarks.bodies import (
    animation_gif,
    photo_like_avif,
    photo_like_image,
    photo_like_jpeg,
    photo_like_png,
    video_mp4,
)
from benchmarks.own_process import measured_apart
from benchmarks.statistics import Latencies
from serve_app.domain import Deadline
from serve_app.media import MediaLimits, preprocess, require_decoders

_DEADLINE_S = 60.0
_LEAST_ROUNDS = 5

console = Console(highlight=False)

BODIES: Mapping[str, Callable[[int], bytes]] = {
    "200 KB JPEG": lambda seed: photo_like_jpeg(200_000, seed),
    "2 MB JPEG": lambda seed: photo_like_jpeg(2_000_000, seed),
    "1 MB PNG": lambda seed: photo_like_png(1_000_000, seed),
    "500 KB AVIF": lambda seed: photo_like_avif(500_000, seed),
    "12 Mpx JPEG": lambda seed: photo_like_image(4000, "JPEG", seed, quality=85),
    "40 Mpx PNG": lambda seed: photo_like_image(7300, "PNG", seed, compress_level=1),
    "40 Mpx PNG, transparent": lambda seed: photo_like_image(7300, "PNG", seed, alpha=128, compress_level=1),
    "40 Mpx WebP, transparent": lambda seed: photo_like_image(7300, "WEBP", seed, alpha=128, quality=60, method=0),
    "50-frame GIF, 320x240": lambda seed: animation_gif(50, seed),
    "10 s MP4, 640x360, 25/s": lambda seed: video_mp4(10.0, seed),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of media costs."""

    name: str
    body_bytes: int
    views: int
    p50_ms: float
    peak_memory_bytes: int


def bench(
    view_size: Annotated[int, typer.Option(min=16, help="Side of a view in pixels: 224 for most models.")] = 224,
    duration_s: Annotated[float, typer.Option(min=0.5, help="Seconds for each kind of media.")] = 4.0,
    seed: Annotated[int, typer.Option(help="Of the pictures.")] = 1,
) -> None:
    """Measure each kind of media in a process of its own."""
    console.print(f"{hardware.describe()}; views of {view_size} px; seed {seed}")
    table = Table(box=None, pad_edge=False)
    table.add_column("media")
    for heading in ("KB", "views", "ms", "per second", "peak MB"):
        table.add_column(heading, justify="right")
    with console.status("measuring") as status:
        for name, make in BODIES.items():
            status.update(name)
            of = measured_apart(_measure, name, make(seed), view_size, duration_s)
            numbers = (f"{of.body_bytes / 1e3:.0f}", str(of.views), f"{of.p50_ms:.1f}")
            table.add_row(of.name, *numbers, f"{1e3 / of.p50_ms:.1f}", f"{of.peak_memory_bytes / 1e6:.0f}")
    console.print(table)


def _measure(name: str, body: bytes, view_size_px: int, duration_s: float) -> Cost:
    limits = MediaLimits()
    require_decoders()
    base_bytes = _forget_peak()
    taken_s: list[float] = []
    until_s = time.perf_counter() + duration_s
    while time.perf_counter() < until_s or len(taken_s) < _LEAST_ROUNDS:
        started_s = time.perf_counter()
        views = preprocess(body, view_size_px, limits, Deadline.after(_DEADLINE_S))
        taken_s.append(time.perf_counter() - started_s)
    return Cost(name, len(body), len(views.places), Latencies(taken_s).percentile_ms(0.5), _peak_bytes() - base_bytes)


def _forget_peak() -> int:
    """Let the peak start anew, and return what is held now in bytes (Linux: proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return _peak_bytes()


def _peak_bytes() -> int:
    """The most memory that this process has held since the peak was forgotten."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


if __name__ == "__main__":
    # Under its own name, so that the processes can import what they are sent.
    from benchmarks import preprocessing

    typer.run(preprocessing.bench)
