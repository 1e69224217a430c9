"""Whether a video's file is there to its end, by the lengths that its outermost elements state.

A decoder reads a file that breaks off as a shorter video. What was cut off would never be looked at.
"""

from __future__ import annotations

from serve_app.domain import UndecodableError

_BOXES_WITH_PICTURES = (b"moov", b"moof", b"mdat")
_SEGMENT = bytes.fromhex("18538067")
_EBML_ID_BYTES = 4


def require_whole(body: bytes, media_type: str) -> None:
    """Ask that an MP4 or a WebM does not state more bytes than it has.

    Bytes that follow the video are ignored, and so is a WebM's segment of unknown length (a live recording).

    Raises:
        UndecodableError: it breaks off.
    """
    stated_bytes = _mp4_bytes(body) if media_type == "video/mp4" else _webm_bytes(body)
    if stated_bytes > len(body):
        raise UndecodableError(f"not a readable {media_type}: it breaks off")


def _mp4_bytes(body: bytes) -> int:
    """Where the last box that may hold pictures ends (ISO/IEC 14496-12, 4.2: length, name, perhaps a long length)."""
    at = end = 0
    while at + 8 <= len(body):
        length, name = int.from_bytes(body[at : at + 4], "big"), body[at + 4 : at + 8]
        if length == 1:
            length = int.from_bytes(body[at + 8 : at + 16], "big")
        if length < 8:  # 0: to the end of the file; less than a header: not a box
            break
        at += length
        if name in _BOXES_WITH_PICTURES:
            end = at
    return end


def _webm_bytes(body: bytes) -> int:
    """Where the segment ends (RFC 8794: identifier, length, content; a header comes before the segment)."""
    start, length = _ebml_length(body, _EBML_ID_BYTES)
    at = start + (length or 0)
    if body[at : at + _EBML_ID_BYTES] != _SEGMENT:
        return 0  # the decoder will say what is wrong
    start, length = _ebml_length(body, at + _EBML_ID_BYTES)
    return 0 if length is None else start + length


def _ebml_length(body: bytes, at: int) -> tuple[int, int | None]:
    """Where the content begins, and its length in bytes: as many leading zero bits, as bytes follow the first."""
    first = body[at] if at < len(body) else 0
    size_bytes = 9 - first.bit_length()
    bits = 7 * size_bytes
    length = int.from_bytes(body[at : at + size_bytes], "big") & ((1 << bits) - 1)
    return at + size_bytes, None if length == (1 << bits) - 1 else length
