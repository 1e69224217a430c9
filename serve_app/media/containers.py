"""What must be known of a file before a decoder opens it: sizes, whether it is whole, how many pictures it has.

Only where the decoder would allocate first, or would show part of a cut file and say nothing.
"""

from __future__ import annotations

import re

_GIF_TRAILER = 0x3B
_GIF_IMAGE = 0x2C
_GIF_EXTENSION = 0x21

_JPEG_SCAN = 0xDA
_JPEG_END = 0xD9
# Inside a scan, 0xff is followed by a zero or is one of the restart markers, which have no content (ITU-T T.81, B.1.1).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)


def count_gif_frames(body: bytes, at_most: int) -> int:
    """Frames of a whole GIF; ``at_most + 1`` as soon as there are more, so that an endless one is left early.

    A GIF must end with its trailer. Some old writers forgot it; but a GIF that was cut between two frames looks the
    same, Pillow and browsers show what is left of it without a word, and nobody can tell what is missing.

    Raises:
        ValueError: cut short, or without its trailer.
        IndexError: cut short in a header.
    """
    at = 13 + _colour_table_bytes(body[10])
    frames = 0
    while frames <= at_most:
        block = body[at]
        if block == _GIF_TRAILER:
            return frames
        if block == _GIF_EXTENSION:
            at = _after_sub_blocks(body, at + 2)
        elif block == _GIF_IMAGE:
            # Place and size, flags, the table of colours, one byte for the LZW codes.
            at = _after_sub_blocks(body, at + 11 + _colour_table_bytes(body[at + 9]))
            frames += 1
        else:
            at += 1  # between blocks nothing should stand; decoders step over what does
    return frames


def require_plain_apng(body: bytes) -> None:
    """That a PNG has as many frames as it says, and says so once, ahead of its pixels.

    Where it does not, Pillow shows the still picture that a PNG begins with, and browsers differ.

    Raises:
        ValueError: an animation that viewers understand differently.
    """
    stated: list[int] = []
    found = 0
    pixels_begun = False
    ahead_of_pixels = True
    at = len(b"\x89PNG\r\n\x1a\n")
    while at + 8 <= len(body):
        name = body[at + 4 : at + 8]
        if name == b"acTL":
            stated.append(int.from_bytes(body[at + 8 : at + 12], "big"))
            ahead_of_pixels = ahead_of_pixels and not pixels_begun
        elif name == b"fcTL":
            found += 1
        elif name == b"IDAT":
            pixels_begun = True
        elif name == b"IEND":
            break
        at += 12 + int.from_bytes(body[at : at + 4], "big")
    if stated and (stated != [found] or not ahead_of_pixels):
        raise ValueError(f"says {stated} frames, and has {found}")


def webp_size(body: bytes) -> tuple[int, int]:
    """Width and height of the canvas in pixels (RFC 9649, 2.5 to 2.7).

    Pillow's decoder allocates two canvases when it is opened, however large.

    Raises:
        ValueError: neither of the three kinds of WebP.
        IndexError: cut short.
    """
    kind = body[12:16]
    if kind == b"VP8X":
        return 1 + _little(body, 24, 3), 1 + _little(body, 27, 3)
    if kind == b"VP8L":
        bits = _little(body, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    if kind == b"VP8 ":
        return _little(body, 26, 2) & 0x3FFF, _little(body, 28, 2) & 0x3FFF
    raise ValueError("no kind of WebP that is known")


def count_jpeg_scans(body: bytes, at_most: int) -> int:
    """Scans of a JPEG up to its end marker, or to whatever cannot be followed; ``at_most + 1`` if there are more."""
    scans = 0
    at = 2
    while scans <= at_most:
        marker = _JPEG_MARKER.search(body, at)
        if marker is None or marker[0][1] == _JPEG_END:
            return scans
        if marker[0][1] == _JPEG_SCAN:
            scans += 1
        # A marker's content follows its length; what a scan codes follows that, and is stepped over by the search.
        at = marker.end() + int.from_bytes(body[marker.end() : marker.end() + 2], "big")
    return scans


def _little(body: bytes, at: int, length: int) -> int:
    if at + length > len(body):
        raise IndexError("cut short")
    return int.from_bytes(body[at : at + length], "little")


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(body: bytes, at: int) -> int:
    while body[at]:
        at += 1 + body[at]
    return at + 1
