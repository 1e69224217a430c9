"""What the files that libav's encoders write have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

# libav's AV1 encoder describes itself on the standard error otherwise; it reads this when it is first opened.
os.environ.setdefault("SVT_LOG", "1")

BT709, BT601, SRGB, BT2020 = 1, 6, 13, 9
PQ, HLG = 16, 18
UNSPECIFIED = 2
LIMITED, FULL = 1, 2

SIZE_PX = (128, 96)
"""Even, as halved colours ask for, and without the padding that the AV1 encoder gives other sizes."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Code points of ITU-T H.273; ``extent`` is libav's number for limited or full range."""

    primaries: int = BT709
    transfer: int = BT709
    matrix: int = BT709
    extent: int = LIMITED

    def state(self, codec: Any) -> None:
        """Let a codec context write them."""
        codec.color_primaries, codec.color_trc = self.primaries, self.transfer
        codec.colorspace, codec.color_range = self.matrix, self.extent


STANDARD = Colours()


def frame_of(picture: Image.Image, pixel_format: str, colours: Colours, number: int, rate: int) -> av.VideoFrame:
    """An RGB or RGBA picture as frame ``number`` of a video with ``rate`` frames a second."""
    frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgba" if picture.mode == "RGBA" else "rgb24")
    # The matrix 0 leaves RGB as it is, and is also libav's word for "not said".
    frame = frame.reformat(format=pixel_format, dst_colorspace=colours.matrix or None, dst_color_range=colours.extent)
    frame.pts, frame.time_base = number, Fraction(1, rate)
    return frame
