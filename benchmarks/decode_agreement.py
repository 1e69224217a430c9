"""Does a model see the same in a picture that was decoded small? No service runs.

The first view of each picture, as the service cuts it (docs/adr/0012), beside the one that is decoded at full size and
resized by bicubic interpolation alone, which costs most and loses least.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.command import Out, Run, Seed, console
from benchmarks.record import Check, at_least, table
from serve_app.domain import Deadline, LabelScores, UnscannedError, Verdict
from serve_app.media import MediaLimits, preprocess
from serve_app.media.frames import sample_frames
from serve_app.media.parsers.sniff import sniff
from serve_app.media.pictures import open_picture
from serve_app.models.agreement import PolicyReference
from serve_app.models.demo.draw import random_picture
from serve_app.models.factory import open_engine
from serve_app.models.load import load_model
from serve_app.models.tower import ImageFeatures
from serve_app.policy import evaluate, load_policy

LEAST_SAME = 0.995
LEAST_COSINE = 0.995

_LIMITS = MediaLimits()
_DEADLINE_S = 60.0
_LARGEST_DRAWN_PX = 2000
_FORMATS = ("JPEG", "JPEG", "PNG", "WEBP")
_COLUMNS = {"type": 0, "pictures": 0, "same verdict, %": 2, "cosine, median": 4, "cosine, lowest 1 %": 4}

_View = NDArray[np.uint8]


def bench(
    media: Annotated[Path | None, typer.Option(help="Pictures to compare, instead of drawn ones.")] = None,
    model: Annotated[str, typer.Option(help="As model.source in the configuration.")] = "embedded:demo-shapes",
    policy: Annotated[str, typer.Option(help="A policy file, or `shipped:NAME`.")] = "shipped:demo-red-triangle",
    pictures: Annotated[int, typer.Option(min=1, help="How many are drawn.")] = 400,
    seed: Seed = 7,
    out: Out = None,
) -> None:
    """Compare, by media type; exit code 1 if too many verdicts or embeddings differ."""
    run = Run("decode_agreement", seed, out)
    judge = load_policy(policy)
    reference = PolicyReference(judge.name, judge.digest, judge.heads)
    engine = open_engine(model, judge.labels, "cpu", "fp32", 1, policy=reference)
    judge.require_model(engine.identity)
    features = ImageFeatures(load_model(model))
    size_px = engine.identity.image_size_px

    def verdict(view: _View) -> Verdict:
        scores = LabelScores(engine.encode(view[np.newaxis]), engine.logit_scale, engine.identity)
        return evaluate(judge, scores).verdict

    found: defaultdict[str, list[tuple[bool, float]]] = defaultdict(list)
    skipped = 0
    with console.status("comparing"):
        for body in _drawn(pictures, seed) if media is None else _files(media):
            try:
                full, ours = _full_size_view(body, size_px), _shipped_view(body, size_px)
            except UnscannedError:
                skipped += 1
                continue
            with torch.inference_mode():
                one, other = features(torch.from_numpy(np.stack([full, ours])))
            found[sniff(body)].append((verdict(full) is verdict(ours), float(one @ other)))
    rows = []
    checks: list[Check] = []
    for media_type, seen in sorted(found.items()):
        same, cosines = np.array(seen, float).T
        low, median = np.percentile(cosines, (1, 50)).tolist()
        rows.append((media_type, len(seen), 1e2 * float(same.mean()), median, low))
        checks.append(at_least(f"{media_type}: the same verdict", float(same.mean()), LEAST_SAME, digits=4))
        checks.append(at_least(f"{media_type}: cosine, median", median, LEAST_COSINE, digits=4))
    note = f"{model}, views of {size_px} px; {skipped} files skipped: not still pictures."
    run.finish("Decoding small", [table("By media type", _COLUMNS, rows, note)], checks)


def _full_size_view(body: bytes, size_px: int) -> _View:
    opening = partial(open_picture, body, sniff(body), _LIMITS)
    frame = next(sample_frames(opening, _LIMITS, Deadline.after(_DEADLINE_S)).frames)
    return np.array(frame.picture.resize((size_px, size_px), Image.Resampling.BICUBIC))


def _shipped_view(body: bytes, size_px: int) -> _View:
    view: _View = preprocess(body, size_px, _LIMITS, Deadline.after(_DEADLINE_S)).pixels[0]
    return view


def _files(folder: Path) -> Iterator[bytes]:
    return (each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file())


def _drawn(pictures: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for number in range(pictures):
        written = io.BytesIO()
        picture = Image.fromarray(random_picture(rng, _LARGEST_DRAWN_PX).pixels)
        picture.save(written, _FORMATS[number % len(_FORMATS)], quality=85)
        yield written.getvalue()
