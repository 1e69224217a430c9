"""Which way up a picture is shown. Programs do not agree about it, so that one picture may have several readings.

====================  ================================================  ===========================================
found in              honoured by                                       readings
====================  ================================================  ===========================================
JPEG: EXIF            all, where there is one sound tag                 turned
JPEG: XMP, odd EXIF   some                                              turned as each tag says, and as it stands
PNG, WebP, GIF, TIFF  some; no browser honours the tags of all of them  turned as each tag says, and as it stands
====================  ================================================  ===========================================

Odd is a JPEG's EXIF that is damaged or there twice, or whose orientation is no 16-bit number: programs differ in what
they find there. AVIF, HEIF and JPEG XL turn by what their containers say; of an AVIF, what its EXIF and XMP say is a
reading of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from serve_app.media.parsers.ifd import TagData
from serve_app.media.parsers.malformed import MalformedError

AS_IT_STANDS = 1
"""The orientation of a picture that is not turned."""

ORIENTATION_TAG = 274
_UNSIGNED_16_BITS = 3
_TURNED = range(2, 9)
_OPPOSITES = {6: 8, 8: 6}

# An attribute, tiff:Orientation="6", or an element, <tiff:Orientation>6</tiff:Orientation>.
_IN_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])(?![0-9])")
_MAX_XMP_BYTES = 1 << 20


def honoured_by_all(exifs: Iterable[bytes], xmps: Iterable[bytes] = ()) -> tuple[int, ...]:
    """The orientations in which a file is shown of whose type every program honours a sound EXIF tag.

    Args:
        exifs: each EXIF block of the file, with or without ``Exif`` and two zeros in front.
        xmps: each XMP packet.
    """
    blocks = [_read(exif) for exif in exifs]
    found = set[int]().union(*(block.orientations for block in blocks))
    if len(blocks) != 1 or not blocks[0].is_sound or not found:
        found.add(AS_IT_STANDS)
    return _in_order(found, xmps)


def honoured_by_some(exifs: Iterable[bytes], xmps: Iterable[bytes] = ()) -> tuple[int, ...]:
    """As :func:`honoured_by_all`, where some programs show the picture as it stands, whatever the tags say."""
    return _in_order({AS_IT_STANDS}.union(*(_read(exif).orientations for exif in exifs)), xmps)


def undone_by_some(orientation: int, xmps: Iterable[bytes] = ()) -> tuple[int, ...]:
    """The same for a picture that its decoder turns by a tag (a TIFF): as it is then, and turned back."""
    undone = {_OPPOSITES.get(orientation, orientation)} if orientation in _TURNED else set()
    return _in_order({AS_IT_STANDS} | undone, xmps)


@dataclass(frozen=True, slots=True)
class _Exif:
    """The orientations that a block names, of which a sound one has one or none."""

    orientations: frozenset[int]
    is_sound: bool


def _read(exif: bytes) -> _Exif:
    found: list[int] = []
    is_sound = True
    try:
        data = TagData(exif.removeprefix(b"Exif\x00\x00"))
        for tag in data.tags(data.first_at):
            if tag.number == ORIENTATION_TAG:
                is_sound = is_sound and not found and (tag.kind, tag.count) == (_UNSIGNED_16_BITS, 1)
                found += tag.integers()[:1]
    except MalformedError:
        is_sound = False
    return _Exif(frozenset(each for each in found if 1 <= each <= 8), is_sound)


def _in_order(orientations: set[int], xmps: Iterable[bytes]) -> tuple[int, ...]:
    in_xmp = {int(found) for xmp in xmps for found in _IN_XMP.findall(xmp[:_MAX_XMP_BYTES])}
    return tuple(sorted(orientations | in_xmp))
