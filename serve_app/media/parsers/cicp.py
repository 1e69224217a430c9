"""Where a file says which transfer function and primaries its numbers have, for types whose decoder does not tell."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from serve_app.media.parsers.heif_items import HeifItem, primary_item
from serve_app.media.parsers.iso_boxes import IsoBoxes
from serve_app.media.parsers.png import png_chunks

PQ = 16
HLG = 18
"""Transfer functions of HDR, in code points of ITU-T H.273."""

_NITS = 10_000
"""PNG and ISO files count a ten-thousandth of a candela per square metre, where they count in integers of 32 bits."""

_PNG_COLOUR_TYPE = slice(25, 26)  # in the header, which is the first chunk
_PNG_PALETTE = b"\x03"

_PNG_CHUNKS = frozenset({b"cICP", b"cLLI", b"mDCV"})

_TRACK = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_VISUAL_SAMPLE_ENTRY_BYTES = 78  # ISO/IEC 14496-12, 12.1.3


@dataclass(frozen=True, slots=True)
class Cicp:
    """What a file says of its colours, in code points of ITU-T H.273.

    ``peak_nits`` is the luminance of its brightest pixel, or of the screen that it was made on; 0 if it does not say.
    ``is_disputed`` if programs that know all code points take the numbers for sRGB all the same.
    """

    primaries: int
    transfer: int
    peak_nits: float = 0.0
    is_disputed: bool = False

    @property
    def is_hdr(self) -> bool:
        """Whether the light is coded by PQ or HLG. Programs that do not know them show another picture."""
        return self.transfer in (PQ, HLG)


def cicp_of_png(body: bytes) -> Cicp | None:
    """The cICP chunk of a PNG (W3C PNG, third edition, 11.3.2.6), unless it is one that browsers ignore."""
    found = None
    peak_nits = 0.0
    for chunk in png_chunks(body):
        name, content = chunk.name, bytes(chunk.content) if chunk.name in _PNG_CHUNKS else b""
        if name in (b"IDAT", b"IEND"):
            break
        if name == b"cICP" and len(content) == 4 and content[2:] == b"\x00\x01" and found is None:
            found = content[0], content[1]
        elif name == b"cLLI" and len(content) == 8:
            peak_nits = struct.unpack(">I", content[:4])[0] / _NITS or peak_nits
        elif name == b"mDCV" and len(content) == 24:
            peak_nits = peak_nits or struct.unpack(">I", content[16:20])[0] / _NITS
    # Chromium ignores the chunk beside a palette.
    is_ignored = body[_PNG_COLOUR_TYPE] == _PNG_PALETTE
    return None if found is None else Cicp(*found, peak_nits, is_disputed=is_ignored)


def cicp_of_profile(profile: bytes) -> Cicp | None:
    """What a colour profile says of PQ or HLG (ICC.1:2022, 9.2.17), which its tables can only approximate.

    Other transfer functions are left to the profile itself.
    """
    tags = int.from_bytes(profile[128:132], "big")
    for at in range(132, min(132 + 12 * tags, len(profile) - 11), 12):
        if profile[at : at + 4] == b"cicp":
            start = int.from_bytes(profile[at + 4 : at + 8], "big")
            content = profile[start : start + 12]
            if len(content) == 12 and content[:4] == b"cicp":
                cicp = Cicp(content[8], content[9])
                return cicp if cicp.is_hdr else None
    return None


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


def _first_sample_entry(body: bytes) -> HeifItem | None:
    """The boxes that describe the first track's pictures, as an item's properties: they are the same."""
    boxes = IsoBoxes(body)
    descriptions = next(boxes.find(*_TRACK), None)
    entry = None if descriptions is None else next(boxes.inside(descriptions), None)
    if entry is None:
        return None
    children = boxes.inside(entry, _VISUAL_SAMPLE_ENTRY_BYTES)
    return HeifItem(properties=[(each.kind, body[each.start : each.end]) for each in children])
