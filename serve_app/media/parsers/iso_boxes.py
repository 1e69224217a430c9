"""The boxes of an ISO media file (ISO/IEC 14496-12, 4.2): of MP4, AVIF, HEIF and the container of JPEG XL.

A box is its length, four letters of its kind, perhaps a long length, and its content, which may be boxes again. All
that reads such files walks them here, so that hostile bytes meet one set of bounds:

* *number*: all walks over one file share one budget of boxes;
* *depth*: nothing recurses into what it finds; a caller names the path that it wants;
* *size*: a box inside another ends where that one ends, so that no byte is walked over twice in one walk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from serve_app.media.parsers.malformed import MalformedError

_MAX_BOXES = 100_000
"""Walked over in one file: a film in fragments has a few thousand, and hostile bytes could be eight million."""

_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 16

_BYTES_AHEAD_OF_CHILDREN = {b"meta": 4, b"iref": 4, b"stsd": 8}
"""Kinds whose content begins with a version and flags (4 bytes) and perhaps a count, before the boxes in it."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box begins, and where its content begins and ends.

    At the top of a file the end is as stated, and may lie behind the bytes that are there. A box inside another one
    ends within it.
    """

    kind: bytes
    at: int
    start: int
    end: int


class IsoBoxes:
    """The boxes of one file."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = _MAX_BOXES

    def top(self) -> Iterator[Box]:
        """The boxes that lie in no other, up to the end of the file or to what is none.

        Raises:
            MalformedError: more boxes than any real file has.
        """
        return self._walk(0, len(self._body))

    def inside(self, parent: Box, ahead_bytes: int | None = None) -> Iterator[Box]:
        """The boxes in the content of ``parent``.

        Args:
            parent: a box of this file.
            ahead_bytes: of the content, before the first box; by default what boxes of its kind have there.

        Raises:
            MalformedError: as :meth:`top`.
        """
        ahead_bytes = _BYTES_AHEAD_OF_CHILDREN.get(parent.kind, 0) if ahead_bytes is None else ahead_bytes
        end = min(parent.end, len(self._body))
        for box in self._walk(parent.start + ahead_bytes, end):
            yield Box(box.kind, box.at, box.start, min(box.end, end))

    def find(self, *path: bytes) -> Iterator[Box]:
        """The boxes of the last kind in ``path``, each in one of the kind before, from the top of the file on.

        Raises:
            MalformedError: as :meth:`top`.
        """
        return self._find(self.top(), path)

    def _find(self, boxes: Iterator[Box], path: tuple[bytes, ...]) -> Iterator[Box]:
        for box in boxes:
            if box.kind == path[0]:
                yield from [box] if len(path) == 1 else self._find(self.inside(box), path[1:])

    def _walk(self, at: int, end: int) -> Iterator[Box]:
        while at + _HEADER_BYTES <= end:
            if not self._left:
                raise MalformedError("too many boxes")
            self._left -= 1
            length, kind = int.from_bytes(self._body[at : at + 4], "big"), self._body[at + 4 : at + 8]
            header_bytes = _HEADER_BYTES
            if length == 1:
                length, header_bytes = int.from_bytes(self._body[at + 8 : at + 16], "big"), _LONG_HEADER_BYTES
            elif length == 0:
                length = end - at
            if length < header_bytes or at + header_bytes > end:
                return
            yield Box(kind, at, at + header_bytes, at + length)
            at += length


def has_iso_box(body: bytes, kind: bytes) -> bool:
    """Whether an ISO media file has a box of this kind at its top, for instance ``moov``."""
    return next(IsoBoxes(body).find(kind), None) is not None


def renamed(body: bytes, boxes: Iterable[Box], kind: bytes) -> bytes:
    """The file with these of its boxes under another name: nobody reads a kind that nobody knows."""
    places = [box.at + 4 for box in boxes]
    if not places:
        return body
    changed = bytearray(body)
    for at in places:
        changed[at : at + 4] = kind
    return bytes(changed)
