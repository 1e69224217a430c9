"""Pictures a second that one core decodes and cuts into views, by type and size. No service runs.

This is the preprocessor's own work, to size a cluster by. Peak memory is that of a process of its own for each kind of
media, above what it holds with everything imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Annotated

import psutil
import typer

from benchmarks.bodies import animation_gif, photo_like, photo_like_image, photo_like_jpeg, video_mp4
from benchmarks.command import Out, Run, Seed, console
from benchmarks.processes import Peak, measured_apart
from benchmarks.record import Cell, table
from serve_app.domain import Deadline
from serve_app.media import MediaLimits, preprocess, require_decoders

_DEADLINE_S = 60.0
_LEAST_ROUNDS = 5
_COLUMNS = {"media": 0, "KB": 0, "views": 0, "p50 ms": 1, "per second": 1, "peak MB": 0}

BODIES: Mapping[str, Callable[[int], bytes]] = {
    "200 KB JPEG": lambda seed: photo_like_jpeg(200_000, seed),
    "2 MB JPEG": lambda seed: photo_like_jpeg(2_000_000, seed),
    "1 MB PNG": lambda seed: photo_like(1_000_000, "PNG", seed),
    "500 KB AVIF": lambda seed: photo_like(500_000, "AVIF", seed, quality=75, speed=8),
    "40 Mpx PNG": lambda seed: photo_like_image(7300, "PNG", seed, compress_level=1),
    "40 Mpx PNG, transparent": lambda seed: photo_like_image(7300, "PNG", seed, alpha=128, compress_level=1),
    "50-frame GIF, 320x240": lambda seed: animation_gif(50, seed),
    "10 s MP4, 640x360, 25/s": lambda seed: video_mp4(10.0, seed),
}


def bench(
    view_size: Annotated[int, typer.Option(min=16, help="Side of a view in pixels: 224 for most models.")] = 224,
    duration_s: Annotated[float, typer.Option(min=0.01, help="Seconds for each kind of media.")] = 4.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure each kind of media in a process of its own."""
    run = Run("preprocessing", seed, out)
    rows = []
    with console.status("measuring") as status:
        for name, make in BODIES.items():
            status.update(name)
            body = make(seed)
            rows.append((name, len(body) / 1e3, *measured_apart(measure, body, view_size, duration_s)))
    run.finish("Decoding and cutting views", [table(f"Views of {view_size} px, on one core", _COLUMNS, rows)], [])


def measure(body: bytes, view_size_px: int, duration_s: float) -> tuple[Cell, ...]:
    """Views of ``body``, ms, rate and MB at its peak; in a process of its own, whose peak of memory is its."""
    limits = MediaLimits()
    require_decoders()
    peak = Peak([psutil.Process()])
    taken_s: list[float] = []
    until_s = time.perf_counter() + duration_s
    while time.perf_counter() < until_s or len(taken_s) < _LEAST_ROUNDS:
        started_s = time.perf_counter()
        views = preprocess(body, view_size_px, limits, Deadline.after(_DEADLINE_S))
        taken_s.append(time.perf_counter() - started_s)
    p50_ms = 1e3 * median(taken_s)
    return len(views.places), p50_ms, 1e3 / p50_ms, 1e3 * peak.grown_gb()
