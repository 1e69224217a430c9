"""The pictures of a JPEG file, each as bytes that any decoder takes: whole, and without what no decoder needs.

A file holds one picture, or the further ones that its index names (CIPA DC-007: stereo, bursts, gain maps). Each is
read by itself, since Pillow keeps the scale, the profile and the metadata of the first one for the next.
Segments that describe a picture but do not change it are left out: a damaged one must not decide over the picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from serve_app.domain import TooLargeError, TruncatedError
from serve_app.media.parsers.ifd import TagData
from serve_app.media.parsers.malformed import MalformedError

_START = b"\xff\xd8"
_BEGINNING = b"\xff\xd8\xff"
_END = b"\xff\xd9"
# Inside a scan, 0xff is followed by a zero or is one of the restart markers, which have no content (ITU-T T.81, B.1.1).
_HEADER_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
# What may stand between scans: anything else that looks like a marker there is damage in what the scan codes.
_LATER_MARKER = re.compile(rb"\xff[\xc4\xcc\xd9-\xdd\xe0-\xef\xfe]")
_END_CODE = 0xD9
_SCAN_CODE = 0xDA
_APP_CODES = range(0xE0, 0xF0)
_COMMENT_CODE = 0xFE

# What a decoder understands among the segments that it may ignore, and the fewest bytes that make sense of each.
_NEEDED = {(0xE0, b"JFIF\x00"): 14, (0xE2, b"ICC_PROFILE\x00"): 14, (0xEE, b"Adobe"): 12}
_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_INDEX = b"MPF\x00"
_INDEX_ENTRIES_TAG = 0xB002

_MAX_SCANS = 100
"""Each scan of a progressive JPEG passes over all coefficients. Encoders write about ten; a thousand stop a core."""
_MAX_SEGMENTS = 20_000
"""Of one picture, scans included. A profile of 4 MB takes 64."""


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """``body`` is a JPEG of this one picture; ``exifs`` and ``xmps`` are the metadata that were left out of it."""

    body: bytes
    exifs: tuple[bytes, ...]
    xmps: tuple[bytes, ...]


def jpeg_pictures(body: bytes, max_pictures: int, is_lenient: bool = False) -> list[JpegPicture]:
    """The first picture, then each that the file's index names and that lies in the file.

    A file that was cut exactly between two pictures cannot be told from one whose further pictures were taken out.

    Args:
        body: begins with a JPEG's first marker.
        max_pictures: how many there may be.
        is_lenient: take a picture whose end is missing as far as it goes, and leave out what has not begun.

    Raises:
        TruncatedError: the end of a picture is missing; of the first one's, where ``is_lenient``, even the beginning.
        TooLargeError: more pictures, scans or segments than any that we read.
    """
    first = _Walk(body, 0)
    starts = [start for start in dict.fromkeys(first.further_pictures()) if body.startswith(_BEGINNING, start)]
    if len(starts) >= max_pictures:
        raise TooLargeError(f"{1 + len(starts)} pictures in one file are more than {max_pictures}")
    walks = [first, *(_Walk(body, start) for start in starts)]
    if not is_lenient and any(walk.is_cut for walk in walks):
        raise TruncatedError("the end of this image/jpeg is missing")
    if first.first_scan_at is None and first.is_cut:
        raise TruncatedError("this image/jpeg ends before its first pixel")
    return [walk.picture() for walk in walks if walk.first_scan_at is not None or not walk.is_cut]


@dataclass(slots=True)
class _Walk:
    """One picture, marker by marker, up to its end marker or to where the file is cut."""

    body: bytes
    start: int
    segments: list[bytes] = field(default_factory=list)
    exifs: list[bytes] = field(default_factory=list)
    xmps: list[bytes] = field(default_factory=list)
    index: bytes = b""
    index_at: int = 0
    first_scan_at: int | None = None
    is_cut: bool = True
    end: int = 0

    def __post_init__(self) -> None:
        at = self.start + len(_START)
        scans = segments = 0
        self.end = len(self.body)
        while marker := (_HEADER_MARKER if self.first_scan_at is None else _LATER_MARKER).search(self.body, at):
            code = marker[0][1]
            if code == _END_CODE:
                self.is_cut, self.end = False, marker.start()
                return
            segments += 1
            scans += code == _SCAN_CODE
            if scans > _MAX_SCANS or segments > _MAX_SEGMENTS:
                raise TooLargeError(f"a JPEG of more than {_MAX_SCANS} scans or {_MAX_SEGMENTS} segments")
            # A segment's content follows its length; what a scan codes follows that, and the search steps over it.
            at = marker.end() + int.from_bytes(self.body[marker.end() : marker.end() + 2], "big")
            if at > len(self.body) or marker.end() + 2 > len(self.body):
                self.end = marker.start()
                return
            if code == _SCAN_CODE and self.first_scan_at is None:
                self.first_scan_at = marker.start()
            if self.first_scan_at is None:
                self._take_segment(code, marker.start(), at)

    def _take_segment(self, code: int, start: int, end: int) -> None:
        content = self.body[start + 4 : end]
        if (code not in _APP_CODES and code != _COMMENT_CODE) or any(
            code == app and content.startswith(name) and len(content) >= n for (app, name), n in _NEEDED.items()
        ):
            self.segments.append(self.body[start:end])
        elif content.startswith(_EXIF):
            self.exifs.append(content)
        elif content.startswith(_XMP):
            self.xmps.append(content)
        elif content.startswith(_INDEX):
            self.index, self.index_at = content.removeprefix(_INDEX), start + 4 + len(_INDEX)

    def picture(self) -> JpegPicture:
        scans = b"" if self.first_scan_at is None else memoryview(self.body)[self.first_scan_at : self.end]
        return JpegPicture(b"".join([_START, *self.segments, scans, _END]), tuple(self.exifs), tuple(self.xmps))

    def further_pictures(self) -> Iterator[int]:
        """Where the index says that they begin; nothing from what it cannot say soundly."""
        try:
            data = TagData(self.index)
            entries = next((tag for tag in data.tags(data.first_at) if tag.number == _INDEX_ENTRIES_TAG), None)
        except MalformedError:
            return
        if entries is None or entries.content is None:
            return
        for _, _, place, _, _ in struct.iter_unpack(f"{entries.order}IIIHH", _whole_entries(entries.content)):
            if place:  # of the first one it is 0
                yield self.index_at + place


def _whole_entries(content: memoryview) -> memoryview:
    return content[: len(content) - len(content) % 16]
