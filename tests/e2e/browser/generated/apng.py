"""APNG, chunk by chunk (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from functools import partial

import numpy as np

from tests.e2e.browser.generated.drawing import SIZE_PX, Makers, draw, draw_other, exif_with_orientation
from tests.e2e.browser.generated.png import COLOUR_TYPES, SIGNATURE, chunk, profile_chunk, quantised, scan_lines
from tests.e2e.browser.generated.profiles import RGB_PROFILES


def files() -> Makers:
    """Each disposal and blend, and with a still that is no frame."""
    for dispose in range(3):
        for blend in range(2):
            yield f"apng-dispose-{dispose}-blend-{blend}.png", partial(_apng, "RGBA", 8, dispose, blend)
    for mode, depth_bits in (("L", 8), ("RGB", 8), ("RGB", 16), ("RGBA", 16), ("P", 8), ("LA", 8)):
        yield f"apng-{mode.lower()}-{depth_bits}-bit.png", partial(_apng, mode, depth_bits, 0, 0)
    yield "apng-still-is-no-frame.png", partial(_apng, "RGBA", 8, 0, 0, still=True)
    yield "apng-still-is-no-frame-and-first-frame-is-smaller.png", partial(_apng, "RGBA", 8, 0, 0, still=True, at=40)
    yield "apng-still-is-no-frame-and-blends-over.png", partial(_apng, "RGBA", 8, 2, 1, still=True, at=40)
    yield "apng-one-frame.png", partial(_apng, "RGB", 8, 0, 0, frames=1)
    yield "apng-one-frame-besides-its-still.png", partial(_apng, "RGB", 8, 0, 0, frames=1, still=True)
    yield "apng-says-more-frames.png", partial(_apng, "RGB", 8, 0, 0, says=5)
    yield "apng-says-no-frames.png", partial(_apng, "RGB", 8, 0, 0, says=0)
    yield "apng-pq.png", partial(_apng, "RGB", 8, 0, 0, ahead=chunk(b"cICP", bytes([9, 16, 0, 1])))
    yield "apng-profile-linear.png", partial(_apng, "RGB", 8, 0, 0, ahead=profile_chunk(RGB_PROFILES["linear"]))
    yield "apng-exif-orientation-6.png", partial(_apng, "RGB", 8, 0, 0, ahead=chunk(b"eXIf", exif_with_orientation(6)))
    yield "apng-text-with-bad-crc.png", partial(_apng, "RGB", 8, 0, 0, ahead=chunk(b"tEXt", b"Comment\0drawn", crc=1))


def _apng(
    mode: str,
    depth_bits: int,
    dispose: int,
    blend: int,
    *,
    frames: int = 3,
    still: bool = False,
    at: int = 0,
    says: int | None = None,
    ahead: bytes = b"",
) -> bytes:
    """The drawing as first frame, ``at`` pixels from the left and the top; another picture as ``still`` before it."""
    colour_mode = "RGBA" if "A" in mode else "RGB"
    pictures = [*[draw_other(mode=colour_mode)] * still, draw(mode=colour_mode)]
    pictures += [draw_other(mode=colour_mode)] * (frames - 1)
    palette = b""
    if mode == "P":
        palette, first = quantised(draw(), 200)
        samples = [first, *[first[::-1, ::-1]] * (frames - 1)]
    else:
        scale = (2**depth_bits - 1) // 255
        samples = [np.asarray(each.convert(mode)).astype(np.uint16) * scale for each in pictures]
    width, height = SIZE_PX
    header = struct.pack(">IIBBBBB", width, height, depth_bits, COLOUR_TYPES[mode], 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"acTL", struct.pack(">II", frames if says is None else says, 0))]
    parts += [ahead, palette]
    sequence = 0
    for number, each in enumerate(samples):
        offset = at if number == still else 0
        lines = each.reshape(height, width, -1)[: height - offset, : width - offset]
        if number >= still:
            place = (width - offset, height - offset, offset, offset)
            parts.append(chunk(b"fcTL", struct.pack(">5IHHBB", sequence, *place, 100, 1000, dispose, blend)))
            sequence += 1
        data = zlib.compress(scan_lines(lines, depth_bits))
        if number == 0:
            parts.append(chunk(b"IDAT", data))
        else:
            parts.append(chunk(b"fdAT", struct.pack(">I", sequence) + data))
            sequence += 1
    return b"".join([SIGNATURE, *parts, chunk(b"IEND", b"")])
