"""JPEG: by Pillow's and libav's encoders, and with segments of its own (ITU-T T.81, JFIF, EXIF, ICC, MPF)."""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import partial
from typing import Any

import av
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
from tests.e2e.browser.generated.libav import BT601, FULL, Colours, frame_of
from tests.e2e.browser.generated.profiles import GREY_PROFILES, RGB_PROFILES

_SOI = b"\xff\xd8"
_ODD_SIZES_PX = ((65, 67), (67, 65), (73, 97), (97, 71), (201, 81), (81, 201), (1000, 71))
_MAX_SEGMENT_BYTES = 65_000


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def drawn(mode: str = "RGB", size_px: tuple[int, int] = SIZE_PX, **options: Any) -> bytes:
    """The drawing as Pillow writes it."""
    return encode(draw(size_px, mode), "JPEG", **{"quality": 90, **options})


def _with_segments(segments: bytes, mode: str = "RGB", **options: Any) -> bytes:
    """The drawing with these segments ahead of all others."""
    return _SOI + segments + drawn(mode, **options)[2:]


def _exif(content: bytes) -> bytes:
    return _segment(0xE1, b"Exif\0\0" + content)


def _tiff(order: str, kind: int, count: int, value: bytes, tags: int = 1) -> bytes:
    """EXIF's structure with the orientation stated in an odd way. ``order`` is that of :mod:`struct`."""
    mark = b"II" if order == "<" else b"MM"
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value
    return mark + struct.pack(order + "HIH", 42, 8, tags) + entry + bytes(4)


def _profile_segments(profile: bytes) -> bytes:
    parts = [profile[at : at + _MAX_SEGMENT_BYTES] for at in range(0, len(profile), _MAX_SEGMENT_BYTES)]
    return b"".join(
        _segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part) for number, part in enumerate(parts, 1)
    )


def _by_libav(pixel_format: str) -> bytes:
    """The drawing as libav's encoder writes it."""
    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = *SIZE_PX, pixel_format, Fraction(1, 1)
    codec.qmin = codec.qmax = 2
    frame = frame_of(draw(), pixel_format, Colours(matrix=BT601, extent=FULL), 0, 1)
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def kinds() -> Makers:
    """Modes, subsamplings, ways of coding, sizes."""
    for mode in ("L", "RGB", "CMYK"):
        for way, is_progressive in (("baseline", False), ("progressive", True)):
            yield f"jpeg-{mode.lower()}-{way}.jpg", partial(drawn, mode, progressive=is_progressive)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        name = subsampling.replace(":", "")
        yield f"jpeg-{name}.jpg", partial(drawn, subsampling=subsampling)
        yield f"jpeg-{name}-progressive.jpg", partial(drawn, subsampling=subsampling, progressive=True)
    for pixel_format in ("yuvj444p", "yuvj422p", "yuvj420p"):
        yield f"jpeg-libav-{pixel_format}.jpg", partial(_by_libav, pixel_format)
    yield "jpeg-rgb-without-luma.jpg", partial(drawn, keep_rgb=True)
    yield "jpeg-restart-markers.jpg", partial(drawn, restart_marker_blocks=3)
    yield "jpeg-restart-markers-progressive.jpg", partial(drawn, restart_marker_rows=1, progressive=True)
    yield "jpeg-optimised.jpg", partial(drawn, optimize=True)
    for quality in (1, 100):
        yield f"jpeg-quality-{quality}.jpg", partial(drawn, quality=quality)
    for size_px in _ODD_SIZES_PX:
        yield f"jpeg-{size_px[0]}x{size_px[1]}.jpg", partial(drawn, size_px=size_px)
    yield "jpeg-2400x1800.jpg", partial(drawn, size_px=(2400, 1800))
    yield "jpeg-2400x1800-progressive.jpg", partial(drawn, size_px=(2400, 1800), progressive=True)


def orientations() -> Makers:
    """EXIF's orientation, whole and odd, alone and with others that say something else."""
    for orientation in ORIENTATIONS:
        exif = _exif(exif_with_orientation(orientation))
        yield f"jpeg-exif-orientation-{orientation}.jpg", partial(_with_segments, exif)
        yield (
            f"jpeg-exif-orientation-{orientation}-l-progressive.jpg",
            partial(_with_segments, exif, "L", progressive=True),
        )
    six = exif_with_orientation(6)
    odd = {
        "orientation-0": _tiff("<", 3, 1, struct.pack("<HH", 0, 0)),
        "orientation-9": _tiff("<", 3, 1, struct.pack("<HH", 9, 0)),
        "orientation-6-big-endian": _tiff(">", 3, 1, struct.pack(">HH", 6, 0)),
        "orientation-6-as-long": _tiff("<", 4, 1, struct.pack("<I", 6)),
        "orientation-6-as-byte": _tiff("<", 1, 1, struct.pack("<I", 6)),
        "orientation-6-as-signed-short": _tiff("<", 8, 1, struct.pack("<I", 6)),
        "orientation-6-as-text": _tiff("<", 2, 2, b"6\0\0\0"),
        "orientation-6-twice": _tiff("<", 3, 2, struct.pack("<HH", 6, 6)),
        "orientation-6-of-no-value": _tiff("<", 3, 0, struct.pack("<HH", 6, 0)),
        "orientation-6-with-a-lost-tag": _tiff("<", 3, 1, struct.pack("<HH", 6, 0), tags=2),
        "orientation-6-cut": six[:-4],
        "garbage": b"garbage",
        "empty": b"",
    }
    for name, content in odd.items():
        yield f"jpeg-exif-{name}.jpg", partial(_with_segments, _exif(content))
    yield "jpeg-exif-orientation-6-then-3.jpg", partial(_with_segments, _exif(six) + _exif(exif_with_orientation(3)))
    yield "jpeg-exif-orientation-1-then-6.jpg", partial(_with_segments, _exif(exif_with_orientation(1)) + _exif(six))
    yield "jpeg-exif-orientation-6-behind-jfif.jpg", partial(drawn, exif=b"Exif\0\0" + six)
    xmp = _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP_ORIENTATION_6)
    yield "jpeg-xmp-orientation-6.jpg", partial(_with_segments, xmp)
    yield "jpeg-exif-orientation-6-with-thumbnail.jpg", _with_thumbnail


def _with_thumbnail() -> bytes:
    """Another, smaller picture in EXIF, as cameras put it there."""
    thumbnail = encode(draw_other((40, 30)), "JPEG")
    first = struct.pack("<HHI", 0x0112, 3, 1) + struct.pack("<HH", 6, 0)
    second_at = 8 + 2 + 12 + 4
    data_at = second_at + 2 + 2 * 12 + 4
    second = struct.pack("<HHII", 0x0201, 4, 1, data_at) + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
    tiff = b"II" + struct.pack("<HI", 42, 8) + struct.pack("<H", 1) + first + struct.pack("<I", second_at)
    return _with_segments(_exif(tiff + struct.pack("<H", 2) + second + bytes(4) + thumbnail))


def colours() -> Makers:
    """Profiles that fit and that do not."""
    for name, profile in RGB_PROFILES.items():
        yield f"jpeg-profile-{name}.jpg", partial(_with_segments, _profile_segments(profile))
        yield f"jpeg-profile-{name}-cmyk.jpg", partial(_with_segments, _profile_segments(profile), "CMYK")
    for name, profile in GREY_PROFILES.items():
        yield f"jpeg-profile-{name}-l.jpg", partial(_with_segments, _profile_segments(profile), "L")
    swapped, srgb = (_profile_segments(RGB_PROFILES[name]) for name in ("swapped-channels", "srgb"))
    yield "jpeg-two-profiles.jpg", partial(_with_segments, srgb + swapped)
    yield (
        "jpeg-profile-lacks-a-part.jpg",
        partial(_with_segments, _segment(0xE2, b"ICC_PROFILE\0\1\2" + RGB_PROFILES["swapped-channels"])),
    )


def containers() -> Makers:
    """Odd segments, further pictures, missing ends."""
    yield "jpeg-garbage-behind.jpg", lambda: drawn() + b"drawn" * 200
    yield "jpeg-another-behind.jpg", lambda: drawn() + encode(draw_other(), "JPEG")
    yield "jpeg-without-its-end.jpg", lambda: drawn()[:-2]
    yield "jpeg-cut.jpg", lambda: _cut(drawn())
    yield "jpeg-cut-progressive.jpg", lambda: _cut(drawn(progressive=True))
    yield "jpeg-says-it-is-taller.jpg", partial(_of_height, 180)
    yield "jpeg-says-it-is-lower.jpg", partial(_of_height, 70)
    yield "jpeg-comment.jpg", partial(_with_segments, _segment(0xFE, b"drawn" * 1000))
    yield "jpeg-fill-bytes.jpg", lambda: _SOI + b"\xff" * 7 + drawn()[2:]
    yield "jpeg-without-jfif.jpg", lambda: _SOI + drawn()[2 + 18 :]
    yield "jpeg-adobe-says-rgb.jpg", partial(_without_jfif, _segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    yield "jpeg-adobe-says-ycck.jpg", partial(_without_jfif, _segment(0xEE, b"Adobe\0\x64\0\0\0\0\2"))
    yield "jpeg-jfif-and-adobe-says-rgb.jpg", lambda: _after_jfif(_segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    yield "jpeg-components-named-rgb.jpg", partial(_named_components, b"RGB")
    yield "jpeg-components-named-012.jpg", partial(_named_components, bytes([0, 1, 2]))
    yield "jpeg-other-density.jpg", partial(drawn, dpi=(72, 144))
    yield "jpeg-mpf-two-pictures.jpg", partial(_two_pictures, draw_other())
    yield "jpeg-mpf-smaller-second-picture.jpg", partial(_two_pictures, draw_other((60, 45)))
    yield "jpeg-mpf-lacks-its-second-picture.jpg", _lacking_second_picture
    yield "jpeg-mpf-large.jpg", partial(_two_pictures, draw_other((2400, 1800)), draw((2400, 1800)))


def _of_height(height_px: int) -> bytes:
    """The drawing with another height in its header."""
    whole = bytearray(drawn())
    struct.pack_into(">H", whole, whole.index(b"\xff\xc0") + 5, height_px)
    return bytes(whole)


def _cut(body: bytes) -> bytes:
    return body[: len(body) * 3 // 4]


def _without_jfif(segments: bytes) -> bytes:
    return _SOI + segments + drawn()[2 + 18 :]


def _after_jfif(segments: bytes) -> bytes:
    whole = drawn()
    return whole[: 2 + 18] + segments + whole[2 + 18 :]


def _named_components(names: bytes) -> bytes:
    """The drawing with other numbers for its components, in the frame's header and in the scan's."""
    whole = bytearray(_without_jfif(b""))
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    for number, name in enumerate(names):
        whole[frame + 10 + 3 * number] = name
        whole[scan + 5 + 2 * number] = name
    return bytes(whole)


def _two_pictures(second: Image.Image, first: Image.Image | None = None) -> bytes:
    return encode(first or draw(), "MPO", save_all=True, append_images=[second])


def _lacking_second_picture() -> bytes:
    both = _two_pictures(draw_other())
    return both[: both.index(b"\xff\xd9\xff\xd8") + 2]


def files() -> Makers:
    """All of them."""
    yield from kinds()
    yield from orientations()
    yield from colours()
    yield from containers()
