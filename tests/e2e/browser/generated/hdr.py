"""The drawing graded for HDR: its white at 203 cd/m², in BT.2020 with the PQ curve (ITU-R BT.2408 and BT.2100)."""

from __future__ import annotations

import numpy as np
from PIL import Image

_WHITE_NITS = 203
_PEAK_NITS = 10_000

_FROM_BT709 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""Linear light of BT.709 to that of BT.2020 (ITU-R BT.2087)."""


def graded(picture: Image.Image) -> Image.Image:
    """An sRGB picture in PQ, 8 bits."""
    levels = np.asarray(picture).astype(np.float64) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = (linear @ _FROM_BT709.T).clip(0, 1) * _WHITE_NITS / _PEAK_NITS
    power = light**0.1593017578125
    coded = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    return Image.fromarray(np.round(255 * coded).astype(np.uint8))
