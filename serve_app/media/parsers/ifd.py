"""Directories of tags (TIFF 6.0, section 2), in which TIFF, EXIF and a JPEG's index of pictures keep their facts.

Read here, within bounds, where a decoder would stumble over a damaged one or would not say that a part is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serve_app.media.parsers.malformed import CutShortError, MalformedError

_KIND_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGER_LETTERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_TAGS = 4096
"""Of one directory. Real ones have under a hundred."""
_MAX_VALUES = 1_000_000
"""Of one tag. A TIFF of 40 megapixels in strips of one row has some thousands."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a directory. ``content`` is None where it lies, in part at least, outside the data."""

    number: int
    kind: int
    count: int
    content: memoryview | None
    order: str

    def integers(self) -> tuple[int, ...]:
        """Its values, where they are unsigned integers, all there, and no more than any real tag has; else none."""
        letter = _INTEGER_LETTERS.get(self.kind)
        if letter is None or self.content is None or self.count > _MAX_VALUES:
            return ()
        return struct.unpack(f"{self.order}{self.count}{letter}", self.content)


class TagData:
    """Data that begin with a TIFF header; ``first_at`` is where their first directory begins.

    Raises:
        MalformedError: no TIFF header.
        CutShortError: cut short in it.
    """

    def __init__(self, data: bytes) -> None:
        orders = {b"II": "<", b"MM": ">"}
        if data[:2] not in orders:
            raise MalformedError("no TIFF header")
        self._data = data
        self._order = orders[data[:2]]
        magic = self._integer("H", 2)
        if magic not in (42, 43):
            raise MalformedError("no TIFF header")
        is_big = magic == 43
        self._count_form, self._tag_form, self._link_form = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
        self._tag_bytes = struct.calcsize("<" + self._tag_form)
        self.first_at = self._integer(self._link_form, 8 if is_big else 4)

    def tags(self, at: int) -> Iterator[Tag]:
        """The entries of the directory at ``at``.

        Raises:
            MalformedError: more entries than any real directory has.
            CutShortError: this entry, or the directory's head, lies outside the data.
        """
        count, at = self._head(at)
        for entry_at in range(at, at + count * self._tag_bytes, self._tag_bytes):
            number, kind, values, place = self._unpack(self._tag_form, entry_at)
            yield Tag(number, kind, values, self._content(kind, values, place), self._order)

    def after(self, at: int) -> int:
        """Where the directory begins that follows the one at ``at``; 0 behind the last one.

        Raises:
            MalformedError: as :meth:`tags`.
        """
        count, at = self._head(at)
        return self._integer(self._link_form, at + count * self._tag_bytes)

    def _head(self, at: int) -> tuple[int, int]:
        count = self._integer(self._count_form, at)
        if count > _MAX_TAGS:
            raise MalformedError(f"a directory of {count} entries")
        return count, at + struct.calcsize("<" + self._count_form)

    def _content(self, kind: int, values: int, place: bytes) -> memoryview | None:
        size = values * _KIND_BYTES.get(kind, 1)
        if size <= len(place):
            return memoryview(place)[:size]
        start = int.from_bytes(place, "little" if self._order == "<" else "big")
        return memoryview(self._data)[start : start + size] if start + size <= len(self._data) else None

    def _integer(self, form: str, at: int) -> int:
        return int(self._unpack(form, at)[0])

    def _unpack(self, form: str, at: int) -> tuple[Any, ...]:
        if at + struct.calcsize("<" + form) > len(self._data):
            raise CutShortError("a directory lies outside the data")
        return struct.unpack_from(self._order + form, self._data, at)
