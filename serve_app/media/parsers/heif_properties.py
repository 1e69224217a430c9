"""What the properties of an item of AVIF or HEIF say: its size, which way up it is, its colours, its tiles."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from serve_app.media.parsers.heif_items import HeifItem
from serve_app.media.parsers.malformed import MalformedError

_ISPE = struct.Struct(">4x2I")
_NCLX = struct.Struct(">8xHB")

# By quarters counter-clockwise: not mirrored, top and bottom exchanged, left and right exchanged.
_ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))


def size_of(item: HeifItem) -> tuple[int, int] | None:
    """Width and height in pixels; None if the item does not say."""
    size = item.property(b"ispe")
    if size is None or len(size) < _ISPE.size:
        return None
    width_px, height_px = _ISPE.unpack_from(size)
    return width_px, height_px


def orientation_of(item: HeifItem) -> int:
    """How the picture is turned and then mirrored, in the numbers of EXIF."""
    rotation, mirror = item.property(b"irot"), item.property(b"imir")
    return _ORIENTATIONS[rotation[0] & 3 if rotation else 0][1 + (mirror[0] & 1) if mirror else 0]


def matrix_of(item: HeifItem) -> tuple[int, bool] | None:
    """The matrix of the colours (ITU-T H.273), and whether their range is full; None if the item does not say."""
    for kind, content in item.properties:
        if kind == b"colr" and content[:4] == b"nclx":
            if len(content) < _NCLX.size:
                return None
            matrix, flags = _NCLX.unpack_from(content)
            return matrix, bool(flags & 0x80)
    return None


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles in rows, the last ones cut at the edge (ISO/IEC 23008-12, 6.6.2.3)."""

    rows: int
    columns: int
    width_px: int
    height_px: int


def read_grid(layout: bytes) -> Grid:
    """The data of an item of the kind ``grid``.

    Raises:
        MalformedError: it is too short.
    """
    numbers = struct.Struct(">II" if layout[1:2] and layout[1] & 1 else ">HH")
    if len(layout) < 4 + numbers.size:
        raise MalformedError("a grid without a size")
    return Grid(layout[2] + 1, layout[3] + 1, *numbers.unpack_from(layout, 4))
