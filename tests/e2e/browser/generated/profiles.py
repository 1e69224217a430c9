"""ICC profiles: matrix and tone curve, hand-assembled as ICC.1:2022 has them, in the form of version 2."""

from __future__ import annotations

import struct
from random import Random
from typing import NamedTuple

Colour = tuple[float, float, float]


class _Primaries(NamedTuple):
    """XYZ of red, green and blue, adapted to the white D50."""

    red: Colour
    green: Colour
    blue: Colour


_D50: Colour = (0.9642, 1.0, 0.8249)
_SRGB = _Primaries((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
_DISPLAY_P3 = _Primaries((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
_ADOBE_RGB = _Primaries((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


def _profile(space: bytes, curves_and_colours: dict[bytes, bytes], padding_bytes: int = 0) -> bytes:
    name = b"Drawn\x00"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78) + Random(1).randbytes(padding_bytes),
        b"cprt": b"text\0\0\0\0none\x00",
        b"wtpt": _xyz(_D50),
        **curves_and_colours,
    }
    table = struct.pack(">I", len(tags))
    data = b""
    begins_at = 128 + 4 + 12 * len(tags)
    for name_of_tag, content in tags.items():
        table += name_of_tag + struct.pack(">II", begins_at + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s12s48s",
        begins_at + len(data), b"", 0x02400000, b"mntr", space, b"XYZ ",
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp", b"", _xyz(_D50)[8:], b"",
    )  # fmt: skip
    return header + table + data


def _xyz(colour: Colour) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * each) for each in colour))


def _gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + b"\0\0"


def rgb(primaries: _Primaries, gamma: float = 2.2, padding_bytes: int = 0) -> bytes:
    """A profile for RGB pictures."""
    curve = _gamma(gamma)
    tags = {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {name: _xyz(each) for name, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    return _profile(b"RGB ", tags, padding_bytes)


def grey(gamma: float) -> bytes:
    """A profile for grey pictures."""
    return _profile(b"GRAY", {b"kTRC": _gamma(gamma)})


RGB_PROFILES = {
    "srgb": rgb(_SRGB),
    "display-p3": rgb(_DISPLAY_P3),
    "adobe-rgb": rgb(_ADOBE_RGB),
    "linear": rgb(_SRGB, gamma=1.0),
    "swapped-channels": rgb(_Primaries(_SRGB.green, _SRGB.blue, _SRGB.red)),
    "of-200-kb": rgb(_SRGB, gamma=1.4, padding_bytes=200_000),
    "for-grey": grey(1.0),
    "damaged": rgb(_ADOBE_RGB)[:300],
}
"""Name: profile. The last two fit no RGB picture."""

GREY_PROFILES = {"grey-2.2": grey(2.2), "grey-1.0": grey(1.0), "for-rgb": rgb(_SRGB, gamma=1.0)}
"""Name: profile. The last one is for RGB."""
