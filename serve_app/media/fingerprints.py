"""A frame to its fingerprint, from the reduced picture that its views are cut from: nothing is decoded for it."""

from __future__ import annotations

import numpy as np

from serve_app.domain import FrameFingerprint
from serve_app.media.frames import Frame
from serve_app.media.pdq import pdq
from serve_app.media.resampling import Kernel, resampled

MAX_UNREDUCED_PX = 512
"""The reference enlarges or squeezes a picture with a longer side to a square of this many pixels, and no other."""

LEAST_SIDE_PX = MAX_UNREDUCED_PX // 2 + 1
"""No side may be reduced to less before the fingerprint: a picture that the reference does not squeeze stays whole."""

_REDUCED_PX = 256


def fingerprint(frame: Frame) -> FrameFingerprint:
    """The PDQ of an upright RGB frame: of one larger than 512 px as of a copy that was squeezed to 512x512."""
    picture, as_if_px = frame.picture, None
    if max(frame.full_size_px) > MAX_UNREDUCED_PX:
        picture = resampled(picture, _REDUCED_PX, _REDUCED_PX, Kernel.BILINEAR)
        as_if_px = (MAX_UNREDUCED_PX, MAX_UNREDUCED_PX)
    quality, hashes = pdq(np.asarray(picture.convert("L"), np.float32), as_if_px)
    return FrameFingerprint(frame.index, quality, hashes)
