"""JPEG XL, by libjxl's encoder in pillow-jxl-plugin."""

from __future__ import annotations

from functools import partial
from typing import Any

from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from tests.e2e.browser.generated.drawing import ORIENTATIONS, SIZE_PX, Makers, draw, encode, exif_with_orientation
from tests.e2e.browser.generated.jpeg import drawn as drawn_jpeg
from tests.e2e.browser.generated.profiles import GREY_PROFILES, RGB_PROFILES


def _drawn(mode: str, size_px: tuple[int, int] = SIZE_PX, **options: Any) -> bytes:
    return encode(draw(size_px, mode), "JXL", **options)


def _container(codestream: bytes, parts: int) -> bytes:
    """A container with the codestream in this number of boxes."""

    def box(name: bytes, content: bytes) -> bytes:
        return (len(content) + 8).to_bytes(4, "big") + name + content

    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    if parts == 1:
        return head + box(b"jxlc", codestream)
    length = -(-len(codestream) // parts)
    boxes = [codestream[at : at + length] for at in range(0, len(codestream), length)]
    numbers = [number | 0x80000000 * (number == len(boxes) - 1) for number in range(len(boxes))]
    return head + b"".join(
        box(b"jxlp", number.to_bytes(4, "big") + part) for number, part in zip(numbers, boxes, strict=True)
    )


def _in_container(parts: int) -> bytes:
    return _container(_drawn("RGB", use_container=False), parts)


def files() -> Makers:
    """Modes, ways of coding, profiles, containers."""
    for mode in ("L", "LA", "RGB", "RGBA"):
        yield f"jxl-{mode.lower()}-lossy.jxl", partial(_drawn, mode)
        yield f"jxl-{mode.lower()}-lossless.jxl", partial(_drawn, mode, lossless=True)
    for size_px in ((65, 67), (97, 71), (1000, 71), (600, 700)):
        yield f"jxl-{size_px[0]}x{size_px[1]}.jxl", partial(_drawn, "RGB", size_px=size_px)
    # The encoder refuses a damaged profile.
    for name, profile in RGB_PROFILES.items():
        if name == "damaged":
            continue
        yield f"jxl-profile-{name}.jxl", partial(_from_drawn_jpeg, icc_profile=profile)
    for name, profile in GREY_PROFILES.items():
        yield f"jxl-profile-{name}-l.jxl", partial(_from_drawn_jpeg, "L", icc_profile=profile)
    for orientation in ORIENTATIONS:
        exif = b"Exif\0\0" + exif_with_orientation(orientation)
        yield f"jxl-exif-orientation-{orientation}.jxl", partial(_drawn, "RGB", exif=exif)
        yield f"jxl-orientation-{orientation}.jxl", partial(_from_drawn_jpeg, exif=exif)
    for effort in (1, 9):
        yield f"jxl-effort-{effort}.jxl", partial(_drawn, "RGB", effort=effort)
    for speed in (1, 4):
        yield f"jxl-decoding-speed-{speed}.jxl", partial(_drawn, "RGB", decoding_speed=speed)
    for parts in (1, 3):
        yield f"jxl-container-of-{parts}.jxl", partial(_in_container, parts)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        name = subsampling.replace(":", "")
        yield f"jxl-jpeg-{name}.jxl", partial(_from_drawn_jpeg, subsampling=subsampling)
    yield "jxl-jpeg-progressive.jxl", partial(_from_drawn_jpeg, progressive=True)
    yield "jxl-cut.jxl", lambda: _drawn("RGB", size_px=(600, 700), use_container=False)[:-300]


def _from_drawn_jpeg(mode: str = "RGB", **options: Any) -> bytes:
    """A JPEG's own coefficients in JPEG XL, with its profile and its orientation in the codestream's header."""
    from pillow_jxl import Encoder

    encoder: Any = Encoder  # its type stub leaves its arguments out
    written: bytes = encoder(
        mode="RGB", lossless=True, quality=1.0, decoding_speed=0, effort=7, use_container=True,
        use_original_profile=True, num_threads=1,
    )(drawn_jpeg(mode, **options), *SIZE_PX, jpeg_encode=True)  # fmt: skip
    return written
