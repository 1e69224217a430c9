"""What a video's file says of itself, read without a decoder: whether it is there to its end, and its transparency.

A decoder reads a file that breaks off as a shorter video. What was cut off would never be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.media.parsers.iso_boxes import IsoBoxes
from serve_app.media.parsers.malformed import MalformedError

_BOXES_WITH_PICTURES = (b"moov", b"moof", b"mdat")
_HEADER_BYTES = 8

# RFC 9559, section 5: the elements whose length may be unknown, because they were written before it was known.
_SEGMENT = bytes.fromhex("18538067")
_CLUSTER = bytes.fromhex("1f43b675")
_TRACKS, _TRACK, _VIDEO, _ALPHA_MODE = (bytes.fromhex(each) for each in ("1654ae6b", "ae", "e0", "53c0"))
_MAX_ELEMENTS = 50_000
"""Walked over in one file: a film recorded live has some thousand parts."""


def is_whole(body: bytes, media_type: str) -> bool:
    """Whether a video does not state more bytes than it has.

    Bytes that follow the video are ignored. A WebM recorded live states only the lengths of its parts, so one that
    breaks off exactly between two of them is a whole one, and so is an MP4 that breaks off between two fragments.
    """
    stated_bytes = _webm_bytes(body) if media_type == "video/webm" else _iso_bytes(body)
    return stated_bytes <= len(body)


def alpha_elements(body: bytes) -> set[bool]:
    """What the video tracks of a WebM say of their transparency in their own elements, where a tag may contradict.

    Raises:
        MalformedError: more elements than any real file has.
    """
    found: set[bool] = set()
    places = [(0, len(body))]
    budget = iter(range(_MAX_ELEMENTS))
    for wanted in (_SEGMENT, _TRACKS, _TRACK, _VIDEO):
        places = [inside for place in places for inside in _ebml_content(body, *place, wanted, budget)]
    for place in places:
        modes = [body[start:end] for start, end in _ebml_content(body, *place, _ALPHA_MODE, budget)]
        found |= {int.from_bytes(mode, "big") == 1 for mode in modes} or {False}
    return found


def _ebml_content(body: bytes, at: int, end: int, wanted: bytes, budget: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Where the content of each such element begins and ends, from ``at`` on, up to one of unknown length."""
    for _ in budget:
        identifier, start, length = _ebml_element(body, at)
        if not identifier or start >= end:
            return
        at = end if length is None else min(end, start + length)
        if identifier == wanted:
            yield start, at
    raise MalformedError("too many elements")


def _iso_bytes(body: bytes) -> int:
    """Where the last box that may hold pictures ends, or the one that must follow it in a file of fragments."""
    with_pictures = [box for box in IsoBoxes(body).top() if box.kind in _BOXES_WITH_PICTURES]
    if not with_pictures:
        return 0
    last = with_pictures[-1]
    if last.kind == b"moof":
        return last.end + _HEADER_BYTES  # the pictures that it describes come next
    is_fragmented = any(box.kind == b"moof" for box in with_pictures)
    begins_another = is_fragmented and last.end < len(body) < last.end + _HEADER_BYTES
    return last.end + _HEADER_BYTES if begins_another else last.end


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
