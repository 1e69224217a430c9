"""``python -m benchmarks.decode_agreement [--media FOLDER]``: does a model see the same in a picture decoded small?

A picture is decoded and resized by whatever is cheap (docs/adr/0011). Here its first view is compared with the one
that is decoded at full size and resized by bicubic interpolation alone, which costs most and loses least.
"""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import hardware
from serve_app.domain import Deadline, LabelScores, UnscannedError, Verdict
from serve_app.media import MediaLimits, preprocess
from serve_app.media.frames import sample_frames
from serve_app.media.opening import open_picture
from serve_app.media.sniff import sniff
from serve_app.models.demo.draw import random_picture
from serve_app.models.load import load_model
from serve_app.models.open import open_engine
from serve_app.models.tower import ImageFeatures
from serve_app.policy import evaluate, load_policy

_LIMITS = MediaLimits()
_DEADLINE_S = 60.0
_FORMATS = (
    ("JPEG", {"quality": 75}),
    ("JPEG", {"quality": 90}),
    ("PNG", {"compress_level": 1}),
    ("WEBP", {"method": 0}),
)

Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class _Kind:
    """The pictures of one media type: of each, what the two ways of looking at it gave and cost."""

    same: list[bool] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    ours_ms: list[float] = field(default_factory=list)
    full_ms: list[float] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        low, median = np.percentile(self.cosines, (1, 50))
        costs = (f"{np.median(each):.1f}" for each in (self.ours_ms, self.full_ms))
        return str(len(self.same)), f"{100 * np.mean(self.same):.2f} %", f"{median:.4f}", f"{low:.4f}", *costs


def bench(
    media: Annotated[Path | None, typer.Option(help="Pictures to compare, instead of drawn ones.")] = None,
    model: Annotated[str, typer.Option(help="As model.source in the configuration.")] = "embedded:demo-shapes",
    policy: Annotated[str, typer.Option(help="A policy file, or `shipped:NAME`.")] = "shipped:demo-red-triangle",
    pictures: Annotated[int, typer.Option(min=1, help="How many are drawn, of 0.2 to 3 megapixels.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the drawings.")] = 7,
) -> None:
    """Print, for each media type: the same verdict, the cosine of the two embeddings, and CPU time of one core."""
    console = Console(highlight=False)
    judge = load_policy(policy)
    engine = open_engine(model, judge.labels, "cpu", "fp32", 1)
    judge.require_model(engine.identity)
    features = ImageFeatures(load_model(model))
    size_px = engine.identity.image_size_px

    def verdict(view: Pixels) -> Verdict:
        scores = LabelScores(engine.encode(view[np.newaxis]), engine.logit_scale, engine.identity)
        return evaluate(judge, scores).verdict

    kinds: defaultdict[str, _Kind] = defaultdict(_Kind)
    skipped = 0
    files = [] if media is None else sorted(each for each in media.rglob("*") if each.is_file())
    bodies = (each.read_bytes() for each in files) if media else _drawn(pictures, seed)
    for body in track(bodies, "comparing", total=len(files) or pictures, console=Console(stderr=True), transient=True):
        try:
            media_type = sniff(body)
            full, full_ms = _timed(partial(full_size_view, body, media_type, size_px))
            ours, ours_ms = _timed(partial(_shipped_view, body, size_px))
        except UnscannedError:
            skipped += 1
            continue
        with torch.inference_mode():
            one, other = features(torch.from_numpy(np.stack([full, ours])))
        kind = kinds[media_type]
        kind.same.append(verdict(full) is verdict(ours))
        kind.cosines.append(float(one @ other))
        kind.ours_ms.append(ours_ms)
        kind.full_ms.append(full_ms)
    console.print(f"{hardware.describe()}; {model}, views of {size_px} px; {skipped} files skipped: no still pictures")
    table = Table(box=None, pad_edge=False)
    table.add_column("type")
    for heading in ("pictures", "same verdict", "cosine, median", "1 %", "core-ms", "at full size"):
        table.add_column(heading, justify="right")
    for media_type, kind in sorted(kinds.items()):
        table.add_row(media_type, *kind.cells())
    console.print(table)


def full_size_view(body: bytes, media_type: str, size_px: int) -> Pixels:
    """The first frame, whole: decoded at full size and resized in one step."""
    opening = partial(open_picture, body, media_type, _LIMITS)
    frame = next(sample_frames(opening, _LIMITS, Deadline.after(_DEADLINE_S)).frames)
    view: Pixels = np.asarray(frame.picture.resize((size_px, size_px), Image.Resampling.BICUBIC))
    return view


def _shipped_view(body: bytes, size_px: int) -> Pixels:
    view: Pixels = preprocess(body, size_px, _LIMITS, Deadline.after(_DEADLINE_S)).pixels[0]
    return view


def _timed(view: partial[Pixels]) -> tuple[Pixels, float]:
    """The view, and the CPU time that it took in milliseconds."""
    began_s = time.process_time()
    pixels = view()
    return pixels, 1000 * (time.process_time() - began_s)


def _drawn(pictures: int, seed: int) -> Iterator[bytes]:
    """Drawings of the sizes of photographs, as JPEG, PNG and WebP."""
    rng = np.random.default_rng(seed)
    for number in range(pictures):
        written = io.BytesIO()
        kind, options = _FORMATS[number % len(_FORMATS)]
        Image.fromarray(random_picture(rng, largest_px=2000).pixels).save(written, kind, **options)
        yield written.getvalue()


if __name__ == "__main__":
    typer.run(bench)
