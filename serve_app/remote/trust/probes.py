"""Probe pictures: drawn here, nobody's, and sent to a worker as any picture is.

A probe has the numbers and sizes of views and faces, the lane and the time left of a picture that was scored recently,
so that nothing but its content tells it from pictures. A worker that tells drawings from photographs can still lie
about photographs alone: doubles show that (:mod:`serve_app.remote.trust.trust`).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import FACE_SIZE_PX, Faces, Lane, ViewPlace, Views
from serve_app.models.demo.backgrounds import BACKGROUNDS, PHOTO_LIKE
from serve_app.models.demo.draw import COLOURS, SHAPES, draw

_SHAPES_KEPT: Final = 256
_MOST_VIEWS: Final = 16
"""Of a probe: a picture has one to three, a video sixty, which would cost a worker a second for nothing."""

_WHOLE: Final = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))


@dataclass(frozen=True, slots=True)
class PictureShape:
    """What a worker sees of a picture beside its pixels.

    Attributes:
        label_set: the place of its labels among those of the front.
        views: how many; at least one.
        faces: how many.
        lane: that of the picture.
        remaining_s: seconds that were left for it.
    """

    label_set: int
    views: int
    faces: int
    lane: Lane
    remaining_s: float


class RecentShapes:
    """The shapes of recent pictures, so that probes are like them; at most 256."""

    def __init__(self, deadline_s: float) -> None:
        """``deadline_s`` is that of a picture, of which a part is used before a worker gets it."""
        self._deadline_s = deadline_s
        self._kept: deque[PictureShape] = deque(maxlen=_SHAPES_KEPT)

    def add(self, shape: PictureShape) -> None:
        """A worker has scored a picture of this shape."""
        if 1 <= shape.views <= _MOST_VIEWS and shape.remaining_s > self._deadline_s / 2:
            self._kept.append(shape)

    def one(self, chance: random.Random, label_set: int, with_faces: bool) -> PictureShape:
        """That of any recent picture with these labels; before there was one, that of an ordinary photograph."""
        known = [shape for shape in self._kept if shape.label_set == label_set]
        if known:
            return chance.choice(known)
        faces = chance.choice((0, 0, 1, 2)) if with_faces else 0
        return PictureShape(
            label_set, chance.choice((1, 1, 1, 3, 4)), faces, Lane.LIVE, self._deadline_s * chance.uniform(0.9, 0.99)
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe picture, as little of it as it can be drawn from again: a seed for each view and for each face."""

    shape: PictureShape
    size_px: int
    seeds: tuple[int, ...]
    face_seeds: tuple[int, ...]

    @classmethod
    def fresh(cls, chance: random.Random, shape: PictureShape, size_px: int) -> Probe:
        """One that was never drawn before."""
        seeds = tuple(chance.getrandbits(64) for _ in range(shape.views))
        return cls(shape, size_px, seeds, tuple(chance.getrandbits(64) for _ in range(shape.faces)))

    async def views(self, grain_seed: int | None = None) -> Views:
        """The views, always the same ones; it gives way to other tasks after each, since each takes 13 ms at 224 px.

        ``grain_seed`` changes about two pixels in three by one: to no model does that make a difference that counts,
        and the bytes are none that a worker has seen before.
        """
        pixels, faces = await _drawn(self.seeds, self.size_px), await _drawn(self.face_seeds, FACE_SIZE_PX)
        if grain_seed is not None:
            grain = np.random.default_rng(grain_seed)
            pixels, faces = _grained(grain, pixels), _grained(grain, faces)
        return Views(
            pixels=pixels,
            places=(_WHOLE,) * len(pixels),
            media_type="image/jpeg",
            frames_seen=1,
            frames_total=1,
            faces=Faces(faces, (_WHOLE,) * len(faces)),
        )


async def _drawn(seeds: Sequence[int], size_px: int) -> NDArray[np.uint8]:
    drawn = np.empty((len(seeds), size_px, size_px, 3), np.uint8)
    for place, seed in enumerate(seeds):
        drawn[place] = _view(np.random.default_rng(seed), size_px)
        await asyncio.sleep(0)
    return drawn


def _view(rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    """A shape on any ground, or something soft as photographs are, in equal parts."""
    if rng.random() < 0.5:
        colour, shape, background = (str(rng.choice(of)) for of in (COLOURS, SHAPES, tuple(BACKGROUNDS)))
        return draw(rng, colour, shape, background=background, height_px=size_px, width_px=size_px)
    painter = PHOTO_LIKE[int(rng.integers(len(PHOTO_LIKE)))]
    return (np.clip(painter(rng, size_px, size_px), 0, 1) * 255 + 0.5).astype(np.uint8)


def _grained(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grain = rng.integers(-1, 2, pixels.shape, dtype=np.int16)
    grained: NDArray[np.uint8] = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    return grained
