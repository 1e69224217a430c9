"""PNG, chunk by chunk (W3C PNG, third edition): Pillow writes few of its kinds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.e2e.browser.generated.drawing import (
    ORIENTATIONS,
    SIZE_PX,
    XMP_ORIENTATION_6,
    Makers,
    draw,
    draw_samples,
    exif_with_orientation,
)
from tests.e2e.browser.generated.hdr import graded
from tests.e2e.browser.generated.profiles import GREY_PROFILES, RGB_PROFILES

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3
COLOUR_TYPES = {"L": 0, "RGB": 2, "P": _PALETTE, "LA": 4, "RGBA": 6}
_DEPTHS_BITS = {"L": (1, 2, 4, 8, 16), "RGB": (8, 16), "P": (1, 2, 4, 8), "LA": (8, 16), "RGBA": (8, 16)}

# First row and column, and the steps, of the seven passes of interlacing.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))

_CICP = {
    "srgb": (1, 13),
    "bt709": (1, 1),
    "linear": (1, 8),
    "display-p3": (12, 13),
    "bt2020": (9, 14),
    "pq": (9, 16),
    "pq-p3": (12, 16),
    "hlg": (9, 18),
}
"""Name: colour primaries and transfer characteristics (ITU-T H.273)."""


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    """One chunk, with the right checksum or with the one given."""
    checksum = zlib.crc32(name + data) if crc is None else crc
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(
    samples: NDArray[np.uint16],
    depth_bits: int,
    colour_type: int,
    *,
    interlaced: bool = False,
    ahead: bytes = b"",
    behind: bytes = b"",
    end: bytes = chunk(b"IEND", b""),
) -> bytes:
    """A PNG of ``samples`` ``(height, width, channels)`` with these chunks ahead of its pixels and behind them."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth_bits, colour_type, 0, 0, int(interlaced))
    pixels = zlib.compress(scan_lines(samples, depth_bits, interlaced))
    return SIGNATURE + chunk(b"IHDR", header) + ahead + chunk(b"IDAT", pixels) + behind + end


def scan_lines(samples: NDArray[np.uint16], depth_bits: int, interlaced: bool = False) -> bytes:
    passes = [samples[row::down, column::across] for row, column, down, across in _ADAM7] if interlaced else [samples]
    return b"".join(b"\0" + _packed(line, depth_bits) for each in passes if each.size for line in each)


def _packed(line: NDArray[np.uint16], depth_bits: int) -> bytes:
    if depth_bits == 16:
        return line.astype(">u2").tobytes()
    bits = np.unpackbits(line.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth_bits :]
    return np.packbits(bits).tobytes()


def drawn(mode: str, depth_bits: int, **options: bytes | bool) -> bytes:
    """The drawing with this colour type and depth."""
    if mode != "P":
        return png(draw_samples(mode, depth_bits), depth_bits, COLOUR_TYPES[mode], **options)  # type: ignore[arg-type]
    palette, samples = quantised(draw(), min(2**depth_bits, 200))
    ahead = palette + bytes(options.pop("ahead", b""))
    return png(samples, depth_bits, _PALETTE, ahead=ahead, **options)  # type: ignore[arg-type]


def quantised(picture: Image.Image, colours: int) -> tuple[bytes, NDArray[np.uint16]]:
    """The chunk PLTE and the numbers of the colours."""
    small = picture.quantize(colours, dither=Image.Dither.NONE)
    samples = np.asarray(small).astype(np.uint16)[:, :, None]
    return chunk(b"PLTE", bytes(small.getpalette() or [])[: 3 * (int(samples.max()) + 1)]), samples


def _transparent_colour(mode: str, depth_bits: int) -> bytes:
    """The chunk tRNS that makes one large part of the drawing transparent: its background."""
    if mode == "P":
        # The background is the commonest colour; the first ones get an alpha of their own too.
        _, samples = quantised(draw(), min(2**depth_bits, 200))
        background = int(np.bincount(samples.ravel()).argmax())
        return chunk(b"tRNS", bytes([*(60 + 20 * (number % 8) for number in range(background)), 0]))
    background_colour = draw_samples(mode, depth_bits)[SIZE_PX[1] // 2, SIZE_PX[0] * 6 // 10]
    return chunk(b"tRNS", background_colour.astype(">u2").tobytes())


def _with_transparent_colour(mode: str, depth_bits: int) -> bytes:
    return drawn(mode, depth_bits, ahead=_transparent_colour(mode, depth_bits))


def profile_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"drawn\0\0" + zlib.compress(profile))


def _text(key: bytes, text: bytes) -> bytes:
    return chunk(b"iTXt", key + b"\0\0\0\0\0" + text)


def kinds() -> Makers:
    """Each colour type and depth; transparency by a colour."""
    for mode, depths_bits in _DEPTHS_BITS.items():
        for depth_bits in depths_bits:
            kind = f"{mode.lower()}-{depth_bits}-bit"
            yield f"png-{kind}.png", partial(drawn, mode, depth_bits)
            yield f"png-{kind}-interlaced.png", partial(drawn, mode, depth_bits, interlaced=True)
            if "A" not in mode:
                yield f"png-{kind}-trns.png", partial(_with_transparent_colour, mode, depth_bits)


def colours() -> Makers:
    """Colour spaces: profiles, gamma, primaries, code points."""
    for name, profile in RGB_PROFILES.items():
        for mode in ("RGB", "RGBA", "P"):
            yield f"png-profile-{name}-{mode.lower()}.png", partial(drawn, mode, 8, ahead=profile_chunk(profile))
        yield f"png-profile-{name}-rgb-16-bit.png", partial(drawn, "RGB", 16, ahead=profile_chunk(profile))
    for name, profile in GREY_PROFILES.items():
        yield f"png-profile-{name}-l.png", partial(drawn, "L", 8, ahead=profile_chunk(profile))
        yield f"png-profile-{name}-l-16-bit.png", partial(drawn, "L", 16, ahead=profile_chunk(profile))
        yield f"png-profile-{name}-la.png", partial(drawn, "LA", 8, ahead=profile_chunk(profile))
    for gamma in (0, 10_000, 20_000, 45_455, 100_000, 300_000):
        ahead = chunk(b"gAMA", struct.pack(">I", gamma))
        yield f"png-gamma-{gamma}.png", partial(drawn, "RGB", 8, ahead=ahead)
        yield f"png-gamma-{gamma}-under-srgb.png", partial(drawn, "RGB", 8, ahead=ahead + chunk(b"sRGB", b"\0"))
        yield f"png-gamma-{gamma}-rgba-16-bit.png", partial(drawn, "RGBA", 16, ahead=ahead)
    primaries = struct.pack(">8I", 31270, 32900, 30000, 60000, 15000, 6000, 64000, 33000)
    swapped = chunk(b"gAMA", struct.pack(">I", 45_455)) + chunk(b"cHRM", primaries)
    yield "png-primaries-swapped.png", partial(drawn, "RGB", 8, ahead=swapped)
    yield "png-primaries-swapped-without-gamma.png", partial(drawn, "RGB", 8, ahead=chunk(b"cHRM", primaries))
    for name, (primary, transfer) in _CICP.items():
        code = chunk(b"cICP", bytes([primary, transfer, 0, 1]))
        for mode, depth_bits in (("RGB", 8), ("RGB", 16), ("RGBA", 8), ("P", 8), ("L", 8)):
            yield f"png-cicp-{name}-{mode.lower()}-{depth_bits}-bit.png", partial(drawn, mode, depth_bits, ahead=code)
    pq = chunk(b"cICP", bytes([9, 16, 0, 1]))
    yield "png-cicp-pq-graded.png", lambda: png(np.asarray(graded(draw())).astype(np.uint16), 8, 2, ahead=pq)
    narrow = chunk(b"cICP", bytes([1, 13, 0, 0]))
    yield "png-cicp-narrow-range.png", partial(drawn, "RGB", 8, ahead=narrow)
    both = pq + profile_chunk(RGB_PROFILES["srgb"])
    yield "png-cicp-pq-and-profile.png", partial(drawn, "RGB", 8, ahead=both)


def metadata() -> Makers:
    """Chunks besides the picture, whole and damaged."""
    for orientation in ORIENTATIONS:
        tag = chunk(b"eXIf", exif_with_orientation(orientation))
        yield f"png-exif-orientation-{orientation}.png", partial(drawn, "RGB", 8, ahead=tag)
    tag = chunk(b"eXIf", exif_with_orientation(6))
    yield "png-exif-orientation-6-behind.png", partial(drawn, "RGB", 8, behind=tag)
    yield "png-exif-orientation-6-rgba-16-bit.png", partial(drawn, "RGBA", 16, ahead=tag)
    yield "png-xmp-orientation-6.png", partial(drawn, "RGB", 8, ahead=_text(b"XML:com.adobe.xmp", XMP_ORIENTATION_6))
    raw_profile = b"\nexif\n%8d\n%s\n" % (
        len(exif_with_orientation(6)) + 6,
        (b"Exif\0\0" + exif_with_orientation(6)).hex().encode(),
    )
    yield (
        "png-raw-profile-orientation-6.png",
        partial(drawn, "RGB", 8, ahead=chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile)),
    )
    damaged = {
        "text-with-bad-crc": chunk(b"tEXt", b"Comment\0drawn", crc=1),
        "gama-with-bad-crc": chunk(b"gAMA", struct.pack(">I", 45_455), crc=1),
        "exif-with-bad-crc": chunk(b"eXIf", exif_with_orientation(6), crc=1),
        "profile-with-bad-crc": chunk(b"iCCP", b"drawn\0\0" + zlib.compress(RGB_PROFILES["linear"]), crc=1),
        "cicp-with-bad-crc": chunk(b"cICP", bytes([9, 16, 0, 1]), crc=1),
        "name-of-no-letters": chunk(b"s\x01IT", b"\5\6\5"),
        "unknown-ancillary": chunk(b"drWn", b"drawn"),
        "short-phys": chunk(b"pHYs", b"\0\0"),
        "short-gama": chunk(b"gAMA", b"\0"),
        "short-srgb": chunk(b"sRGB", b""),
        "short-chrm": chunk(b"cHRM", b"\0" * 7),
        "short-cicp": chunk(b"cICP", bytes([9, 16])),
        "short-time": chunk(b"tIME", b"\0"),
        "short-exif": chunk(b"eXIf", b"II"),
        "empty-text": chunk(b"tEXt", b""),
        "broken-compressed-text": chunk(b"zTXt", b"Comment\0\0not deflated"),
        "profile-not-deflated": chunk(b"iCCP", b"drawn\0\0not deflated"),
        "2-mb-of-text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"drawn" * 400_000)),
        "2-mb-of-profile": profile_chunk(RGB_PROFILES["srgb"] + bytes(2_000_000)),
        "background": chunk(b"bKGD", b"\0\xff\0\0\0\0"),
        "suggested-palette": chunk(b"PLTE", bytes(range(30))),
        "significant-bits": chunk(b"sBIT", b"\5\6\5"),
        "wrong-significant-bits": chunk(b"sBIT", b"\x11\0\x09"),
        "histogram-without-palette": chunk(b"hIST", b"\0\1"),
        "two-gammas": 2 * chunk(b"gAMA", struct.pack(">I", 45_455)),
        "two-profiles": profile_chunk(RGB_PROFILES["swapped-channels"]) + profile_chunk(RGB_PROFILES["srgb"]),
        "transparency-of-wrong-length": chunk(b"tRNS", b"\0"),
    }
    for name, ahead in damaged.items():
        yield f"png-{name}.png", partial(drawn, "RGB", 8, ahead=ahead)
    yield "png-text-with-bad-crc-behind.png", partial(drawn, "RGB", 8, behind=damaged["text-with-bad-crc"])
    yield "png-gamma-behind.png", partial(drawn, "RGB", 8, behind=chunk(b"gAMA", struct.pack(">I", 100_000)))
    yield "png-without-its-end.png", partial(drawn, "RGB", 8, end=b"")
    yield "png-end-with-bad-crc.png", partial(drawn, "RGB", 8, end=chunk(b"IEND", b"", crc=1))
    yield "png-garbage-behind.png", partial(drawn, "RGB", 8, end=chunk(b"IEND", b"") + b"drawn" * 100)
    yield "png-cut-in-its-pixels.png", lambda: drawn("RGBA", 8)[:-300]
    yield "png-pixels-in-many-chunks.png", _in_many_chunks
    yield (
        "png-animation-is-stated-behind.png",
        partial(drawn, "RGB", 8, behind=chunk(b"acTL", struct.pack(">II", 1, 0))),
    )
    yield "png-more-pixels-than-rows.png", partial(_recompressed, lambda lines: lines + bytes(1000))
    yield "png-fewer-pixels-than-rows.png", partial(_recompressed, lambda lines: lines[: len(lines) * 3 // 4])


def _in_many_chunks() -> bytes:
    whole = drawn("RGB", 8)
    at = whole.index(b"IDAT") - 4
    length = int.from_bytes(whole[at : at + 4], "big")
    data = whole[at + 8 : at + 8 + length]
    parts = b"".join(chunk(b"IDAT", data[start : start + 10]) for start in range(0, length, 10))
    return whole[:at] + chunk(b"IDAT", b"") + parts + chunk(b"IEND", b"")


def _recompressed(change: Callable[[bytes], bytes]) -> bytes:
    width, height = SIZE_PX
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    lines = change(scan_lines(draw_samples("RGB", 8), 8))
    return SIGNATURE + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def files() -> Makers:
    """All of them."""
    yield from kinds()
    yield from colours()
    yield from metadata()
