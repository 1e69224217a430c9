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


class Pictures:
    """Pictures of one size, drawn once from a seed."""

    def __init__(self, size: Size, seed: int) -> None:
        self._seed = seed
        self._drawn = [photo_like_jpeg(target_bytes, seed + place) for place, target_bytes in enumerate(BYTES[size])]

    def bodies(self) -> MakeBody:
        """What gives the next body: the same order each time, and each with bytes that were never sent before."""
        source = random.Random(self._seed)
        return lambda: unique_parts(source.choice(self._drawn))
