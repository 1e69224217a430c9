"""The boxes of an ISO media file (ISO/IEC 14496-12, 4.2): of MP4, AVIF, HEIF and the container of JPEG XL.

A box is its length, four letters of its kind, perhaps a long length, and its content. Nothing here is believed: a box
may say that it ends beyond the file, and whoever asks decides what that means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MAX_BOXES = 100_000
"""Walked over in one go: a film in fragments has a few thousand, and hostile bytes could be eight million."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where the content of a box begins and ends. The end is as stated, and may lie beyond the bytes that are there."""

    kind: bytes
    start: int
    end: int


def iso_boxes(body: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes one after the other from ``start``, up to ``end`` or to what is none.

    Raises:
        ValueError: more boxes than any real file has.
    """
    at = start
    end = len(body) if end is None else min(end, len(body))
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        length, kind, header_bytes = int.from_bytes(body[at : at + 4], "big"), body[at + 4 : at + 8], 8
        if length == 1:
            length, header_bytes = int.from_bytes(body[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = end - at
        if length < header_bytes:
            return
        yield Box(kind, at + header_bytes, at + length)
        at += length
    raise ValueError("too many boxes")


def has_iso_box(body: bytes, wanted: bytes) -> bool:
    """Whether an ISO media file has a box of this kind at its top, for instance ``moov``."""
    return any(box.kind == wanted for box in iso_boxes(body))
