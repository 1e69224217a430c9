"""WebP: bitstreams by Pillow, put into containers chunk by chunk (RFC 9649)."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

from PIL import Image

from tests.e2e.browser.generated.drawing import (
    ORIENTATIONS,
    SIZE_PX,
    XMP_ORIENTATION_6,
    Makers,
    draw,
    draw_other,
    encode,
    exif_with_orientation,
)
from tests.e2e.browser.generated.profiles import RGB_PROFILES

_ANIMATION, _XMP, _EXIF, _ALPHA, _ICC = 2, 4, 8, 16, 32
"""Flags of the chunk VP8X: which others follow."""


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _extended(flags: int, chunks: bytes, canvas_px: tuple[int, int] = SIZE_PX) -> bytes:
    sides = b"".join((side_px - 1).to_bytes(3, "little") for side_px in canvas_px)
    return _riff(_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides) + chunks)


def drawn(mode: str = "RGB", **options: Any) -> bytes:
    """The drawing as Pillow writes it."""
    return encode(draw(mode=mode), "WEBP", **{"quality": 90, **options})


def _bitstream(picture: Image.Image, **options: Any) -> bytes:
    """The chunks ALPH and VP8, or VP8L."""
    chunks = encode(picture, "WEBP", **{"quality": 90, **options})[12:]
    return chunks[18:] if chunks.startswith(b"VP8X") else chunks


def _tagged(flags: int, ahead: bytes = b"", behind: bytes = b"", mode: str = "RGB", **options: Any) -> bytes:
    flags |= _ALPHA * (mode == "RGBA")
    return _extended(flags, ahead + _bitstream(draw(mode=mode), **options) + behind)


def _frame(picture: Image.Image, place: tuple[int, int], dispose: int, blend: int, **options: Any) -> bytes:
    numbers = (place[0] // 2, place[1] // 2, picture.width - 1, picture.height - 1, 100)
    head = b"".join(number.to_bytes(3, "little") for number in numbers)
    return _chunk(b"ANMF", head + bytes([(not blend) << 1 | dispose]) + _bitstream(picture, **options))


def _animation(
    dispose: int = 0,
    blend: int = 0,
    *,
    mode: str = "RGBA",
    place: tuple[int, int] = (0, 0),
    canvas_px: tuple[int, int] = SIZE_PX,
    background: bytes = bytes(4),
    flags: int = 0,
    ahead: bytes = b"",
    behind: bytes = b"",
    **options: Any,
) -> bytes:
    """The drawing, and two other pictures after it."""
    pictures = [draw(mode=mode), *2 * [draw_other(mode=mode)]]
    frames = b"".join(_frame(each, place, dispose, blend, **options) for each in pictures)
    flags |= _ANIMATION | _ALPHA * (mode == "RGBA")
    return _extended(flags, ahead + _chunk(b"ANIM", background + bytes(2)) + frames + behind, canvas_px)


def stills() -> Makers:
    """Both bitstreams, transparency, sizes."""
    for mode in ("L", "RGB", "RGBA"):
        yield f"webp-{mode.lower()}-lossy.webp", partial(drawn, mode)
        yield f"webp-{mode.lower()}-lossless.webp", partial(drawn, mode, lossless=True)
    for quality in (1, 100):
        yield f"webp-quality-{quality}.webp", partial(drawn, quality=quality)
        yield f"webp-alpha-quality-{quality}.webp", partial(drawn, "RGBA", alpha_quality=quality)
    for size_px in ((65, 67), (97, 71), (1000, 71)):
        picture = draw(size_px)
        yield f"webp-{size_px[0]}x{size_px[1]}.webp", partial(encode, picture, "WEBP", quality=90)
    yield "webp-says-no-alpha.webp", lambda: _extended(0, _bitstream(draw(mode="RGBA")))
    yield "webp-says-no-alpha-lossless.webp", lambda: _extended(0, _bitstream(draw(mode="RGBA"), lossless=True))
    yield "webp-says-alpha-and-has-none.webp", partial(_tagged, _ALPHA)
    yield "webp-unknown-chunks.webp", partial(_tagged, 0, _chunk(b"DRWN", b"drawn"), _chunk(b"DRWN", b"drawn"))
    yield "webp-garbage-behind.webp", lambda: drawn() + b"drawn" * 20
    yield "webp-cut.webp", lambda: drawn()[:-200]
    yield "webp-cut-lossless.webp", lambda: drawn(lossless=True)[:-60]


def metadata() -> Makers:
    """Orientation in EXIF and XMP, which browsers do not honour here; colour profiles, which they do."""
    for orientation in ORIENTATIONS:
        exif = exif_with_orientation(orientation)
        yield f"webp-exif-orientation-{orientation}.webp", partial(_tagged, _EXIF, behind=_chunk(b"EXIF", exif))
    exif = exif_with_orientation(6)
    yield "webp-exif-orientation-6-rgba.webp", partial(_tagged, _EXIF, behind=_chunk(b"EXIF", exif), mode="RGBA")
    yield "webp-exif-orientation-6-with-mark.webp", partial(_tagged, _EXIF, behind=_chunk(b"EXIF", b"Exif\0\0" + exif))
    yield "webp-exif-orientation-6-unannounced.webp", partial(_tagged, 0, behind=_chunk(b"EXIF", exif))
    yield "webp-xmp-orientation-6.webp", partial(_tagged, _XMP, behind=_chunk(b"XMP ", XMP_ORIENTATION_6))
    for name, profile in RGB_PROFILES.items():
        ahead = _chunk(b"ICCP", profile)
        for mode in ("RGB", "RGBA"):
            yield f"webp-profile-{name}-{mode.lower()}.webp", partial(_tagged, _ICC, ahead, mode=mode)
    swapped = _chunk(b"ICCP", RGB_PROFILES["swapped-channels"])
    yield "webp-profile-unannounced.webp", partial(_tagged, 0, swapped)


def animations() -> Makers:
    """Each disposal and blend, places on the canvas, metadata."""
    for dispose in range(2):
        for blend in range(2):
            for way, is_lossless in (("lossy", False), ("lossless", True)):
                yield (
                    f"webp-animated-dispose-{dispose}-blend-{blend}-{way}.webp",
                    partial(_animation, dispose, blend, lossless=is_lossless),
                )
    yield "webp-animated-rgb.webp", partial(_animation, mode="RGB")
    yield "webp-animated-first-frame-is-smaller.webp", partial(_animation, place=(50, 40), canvas_px=(200, 150))
    yield (
        "webp-animated-with-background.webp",
        partial(_animation, place=(50, 40), canvas_px=(200, 150), background=b"\x20\x20\xd0\xff"),
    )
    yield (
        "webp-animated-exif-orientation-6.webp",
        partial(_animation, flags=_EXIF, behind=_chunk(b"EXIF", exif_with_orientation(6))),
    )
    yield (
        "webp-animated-profile-linear.webp",
        partial(_animation, flags=_ICC, ahead=_chunk(b"ICCP", RGB_PROFILES["linear"])),
    )
    yield "webp-animated-by-pillow.webp", partial(drawn, "RGBA", save_all=True, append_images=[draw_other(mode="RGBA")])
    yield "webp-animated-cut.webp", lambda: _animation()[:-300]


def files() -> Makers:
    """All of them."""
    yield from stills()
    yield from metadata()
    yield from animations()
