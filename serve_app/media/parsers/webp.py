"""A WebP before its decoder sees it: its size, and what is left of one that was cut."""

from __future__ import annotations

from serve_app.domain import TruncatedError
from serve_app.media.parsers.malformed import CutShortError, MalformedError

_RIFF_HEADER_BYTES = 12
_CHUNK_HEADER_BYTES = 8
_MAX_COMPLETED_BYTES = 100_000_000
_PIXELS = (b"VP8 ", b"VP8L", b"ANMF")
_MIN_PIXEL_BYTES = 30
"""Of a cut chunk that is worth completing: the headers of a frame, and of the picture inside it, are longer."""


def webp_size(body: bytes) -> tuple[int, int]:
    """Width and height of the canvas in pixels (RFC 9649, 2.5 to 2.7).

    Pillow's decoder allocates two canvases when it is opened, however large.

    Raises:
        MalformedError: neither of the three kinds of WebP, or cut short.
    """
    kind = body[12:16]
    if kind == b"VP8X":
        return 1 + _little(body, 24, 3), 1 + _little(body, 27, 3)
    if kind == b"VP8L":
        bits = _little(body, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    if kind == b"VP8 ":
        return _little(body, 26, 2) & 0x3FFF, _little(body, 28, 2) & 0x3FFF
    raise MalformedError("no kind of WebP that is known")


def is_whole_webp(body: bytes) -> bool:
    """Whether a WebP is as long as it says."""
    return 8 + int.from_bytes(body[4:8], "little") <= len(body)


def completed_webp(body: bytes) -> bytes:
    """A WebP whose end is missing, made as long as it says with zeros: libwebp decodes no part of one that is cut.

    What it makes of the zeros is noise or nothing, below or behind what there was.

    Raises:
        TruncatedError: it ends before its first pixel, or says that it is longer than any file that we read.
    """
    at = _RIFF_HEADER_BYTES
    chunks: list[bytes] = []
    has_pixels = False
    while at + _CHUNK_HEADER_BYTES <= len(body):
        name, length = body[at : at + 4], _little(body, at + 4, 4)
        end = at + _CHUNK_HEADER_BYTES + length + length % 2
        is_cut = end > len(body)
        if end > _MAX_COMPLETED_BYTES or (is_cut and (name not in _PIXELS or len(body) - at < _MIN_PIXEL_BYTES)):
            break
        chunks.append(body[at:end].ljust(end - at, b"\x00"))
        has_pixels = has_pixels or name in _PIXELS
        at = end
    if not has_pixels:
        raise TruncatedError("this image/webp ends before its first pixel")
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def _little(body: bytes, at: int, length: int) -> int:
    if at + length > len(body):
        raise CutShortError("a WebP is cut in its header")
    return int.from_bytes(body[at : at + length], "little")
