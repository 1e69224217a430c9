"""Whether a video's file is there to its end, by the lengths that its outermost elements state.

A decoder reads a file that breaks off as a shorter video. What was cut off would never be looked at.
"""

from __future__ import annotations

from serve_app.domain import UndecodableError

_BOXES_WITH_PICTURES = (b"moov", b"moof", b"mdat")

# RFC 9559, section 5: the elements whose length may be unknown, because they were written before it was known.
_SEGMENT = bytes.fromhex("18538067")
_CLUSTER = bytes.fromhex("1f43b675")


def require_whole(body: bytes, media_type: str) -> None:
    """Ask that an MP4 or a WebM does not state more bytes than it has.

    Bytes that follow the video are ignored. A WebM recorded live states only the lengths of its parts, so one that
    breaks off exactly between two of them is a whole one.

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
    """Where the segment ends, or the last of its parts if it does not say so itself."""
    at, inside = 0, False
    while at < len(body):
        identifier, start, length = _ebml_element(body, at)
        if not identifier:
            break
        if length is None and identifier not in (_SEGMENT, _CLUSTER):
            break  # the decoder will say what is wrong
        if identifier == _SEGMENT:
            if length is not None:
                return start + length
            inside = True
        at = start + (length or 0)
    return at if inside else 0


def _ebml_element(body: bytes, at: int) -> tuple[bytes, int, int | None]:
    """RFC 8794: an element's identifier (empty if there is none), where its content begins, its length if known."""
    identifier_bytes = _ebml_width(body, at)
    if identifier_bytes > 4:
        return b"", at, None
    length_at = at + identifier_bytes
    width = _ebml_width(body, length_at)
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(body[length_at : length_at + width], "big") & unknown
    return body[at:length_at], length_at + width, None if length == unknown else length


def _ebml_width(body: bytes, at: int) -> int:
    """Bytes of a number of variable width: one, and one more for each leading zero bit of the first. 1 to 9."""
    return 9 - (body[at] if at < len(body) else 0).bit_length()
