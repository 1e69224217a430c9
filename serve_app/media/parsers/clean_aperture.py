"""The clean aperture of an AVIF: the part that its file says is to be shown."""

from __future__ import annotations

import struct

from serve_app.media.parsers.heif_items import HeifItem
from serve_app.media.parsers.heif_properties import size_of

Box = tuple[float, float, float, float]

_CLAP = struct.Struct(">IIIIiIiI")


def aperture_of(item: HeifItem) -> Box | None:
    """Left, top, right and bottom as shares of the picture as it is coded (ISO/IEC 14496-12, 12.1.4).

    ``None`` where there is none, or one that reaches beyond the picture, which is invalid.
    """
    clap, sides_px = item.property(b"clap"), size_of(item)
    if clap is None or sides_px is None or len(clap) < _CLAP.size:
        return None
    numbers = _CLAP.unpack_from(clap)
    if 0 in numbers[1::2] or 0 in sides_px:
        return None
    width, height, right_by, down_by = (numbers[at] / numbers[at + 1] for at in range(0, 8, 2))
    spans = []
    for side_px, length, offset in ((sides_px[0], width, right_by), (sides_px[1], height, down_by)):
        middle = 0.5 + offset / side_px
        spans.append((middle - length / side_px / 2, middle + length / side_px / 2))
    (left, right), (top, bottom) = spans
    is_inside = min(left, top) >= 0 and max(right, bottom) <= 1 and left < right and top < bottom
    return (left, top, right, bottom) if is_inside else None
