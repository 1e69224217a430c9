"""The pictures that loads are made of, by size, and what makes each of them new to the service.

Known bytes are answered without looking, so that every body is one that was never sent before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum

from benchmarks.bodies import photo_like_jpeg, unique_parts
from benchmarks.load import MakeBody


class Size(StrEnum):
    """A size of JPEGs, or a mixture of sizes."""

    KB_20 = "20KB"
    KB_200 = "200KB"
    MB_2 = "2MB"
    MIX = "mix"


# The mixture is what an instance sees: thumbnails, pictures from the web, photographs of phones.
BYTES: Mapping[Size, tuple[int, ...]] = {
    Size.KB_20: (20_000,),
    Size.KB_200: (200_000,),
    Size.MB_2: (2_000_000,),
    Size.MIX: (20_000, 200_000, 200_000, 500_000, 2_000_000),
}


def pictures(size: Size, seed: int) -> MakeBody:
    """What draws the next picture, from ``seed`` but for the bytes that make it new."""
    drawn = [photo_like_jpeg(target_bytes, seed + place) for place, target_bytes in enumerate(BYTES[size])]
    source = random.Random(seed)
    return lambda: unique_parts(source.choice(drawn))
