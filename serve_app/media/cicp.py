"""Where a file says which transfer function and primaries its numbers have, for types whose decoder does not tell."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from serve_app.media.heif_items import HeifItem, primary_item
from serve_app.media.iso_boxes import Box, iso_boxes
from serve_app.media.tone_mapping import Cicp

_NITS = 10_000
"""PNG and ISO files count a ten-thousandth of a candela per square metre, where they count in integers of 32 bits."""

_PNG_COLOUR_TYPE = slice(25, 26)  # in the header, which is the first chunk
_PNG_PALETTE = b"\x03"

_TRACK = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_SAMPLE_DESCRIPTIONS_BYTES = 8  # version, flags, count
_VISUAL_SAMPLE_ENTRY_BYTES = 78  # ISO/IEC 14496-12, 12.1.3


def cicp_of_png(body: bytes) -> Cicp | None:
    """The cICP chunk of a PNG (W3C PNG, third edition, 11.3.2.6), unless it is one that browsers ignore."""
    found = None
    peak_nits = 0.0
    for name, content in _png_chunks_before_pixels(body):
        if name == b"cICP" and len(content) == 4 and content[2:] == b"\x00\x01" and found is None:
            found = content[0], content[1]
        elif name == b"cLLI" and len(content) == 8:
            peak_nits = struct.unpack(">I", content[:4])[0] / _NITS or peak_nits
        elif name == b"mDCV" and len(content) == 24:
            peak_nits = peak_nits or struct.unpack(">I", content[16:20])[0] / _NITS
    # Chromium ignores the chunk beside a palette.
    is_ignored = body[_PNG_COLOUR_TYPE] == _PNG_PALETTE
    return None if found is None else Cicp(*found, peak_nits, is_disputed=is_ignored)


def cicp_of_avif(body: bytes) -> Cicp | None:
    """What an AVIF says of its first picture: of a sequence its track, else the primary item.

    ``None`` where a colour profile decides, or nothing is said.
    """
    if body[8:12] == b"avis" and (entry := _first_sample_entry(body)) is not None:
        return cicp_of_item(entry)
    return cicp_of_item(primary_item(body))


def cicp_of_item(item: HeifItem) -> Cicp | None:
    """The colours that an item's properties name, unless they name a profile, which then decides.

    Of several, the first counts, as in libavif.
    """
    profiles = [content for kind, content in item.properties if kind == b"colr"]
    if any(content[:4] in (b"prof", b"rICC") for content in profiles):
        return None
    nclx = next((content for content in profiles if content[:4] == b"nclx" and len(content) >= 10), None)
    if nclx is None:
        return None
    light, screen = item.property(b"clli"), item.property(b"mdcv")
    peak_nits = float(int.from_bytes(light[:2], "big")) if light else 0.0
    if not peak_nits and screen is not None and len(screen) >= 20:
        peak_nits = int.from_bytes(screen[16:20], "big") / _NITS
    return Cicp(int.from_bytes(nclx[4:6], "big"), int.from_bytes(nclx[6:8], "big"), peak_nits)


def _png_chunks_before_pixels(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(b"\x89PNG\r\n\x1a\n")
    while at + 8 <= len(body):
        length, name = int.from_bytes(body[at : at + 4], "big"), body[at + 4 : at + 8]
        if name in (b"IDAT", b"IEND"):
            return
        yield name, body[at + 8 : at + 8 + length]
        at += 12 + length


def _first_sample_entry(body: bytes) -> HeifItem | None:
    """The boxes that describe the first track's pictures, as an item's properties: they are the same."""
    box = Box(b"", 0, len(body))
    for kind in _TRACK:
        inside = next((each for each in iso_boxes(body, box.start, box.end) if each.kind == kind), None)
        if inside is None:
            return None
        box = inside
    entry = next(iso_boxes(body, box.start + _SAMPLE_DESCRIPTIONS_BYTES, box.end), None)
    if entry is None:
        return None
    children = iso_boxes(body, entry.start + _VISUAL_SAMPLE_ENTRY_BYTES, entry.end)
    return HeifItem(properties=[(each.kind, body[each.start : each.end]) for each in children])
