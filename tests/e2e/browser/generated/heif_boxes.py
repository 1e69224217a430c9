"""HEIF containers, box by box (ISO/IEC 14496-12 and 23008-12): items with their properties and references."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ALPHA_URN = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"

_ESSENTIAL = frozenset({b"av1C", b"irot", b"imir", b"clap"})
"""Properties that a reader must understand."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture, or a piece of metadata, of a file. ``references`` are kind and the numbers of items, from 1."""

    data: bytes
    properties: Sequence[bytes] = ()
    kind: bytes = b"av01"
    content_type: bytes = b""
    """Of an item of the kind ``mime``."""
    references: Sequence[tuple[bytes, Sequence[int]]] = ()
    is_hidden: bool = False


def box(kind: bytes, content: bytes) -> bytes:
    """A box of any kind."""
    return struct.pack(">I", len(content) + 8) + kind + content


def full_box(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags) + content)


def size(width_px: int, height_px: int) -> bytes:
    """The property ispe."""
    return full_box(b"ispe", struct.pack(">II", width_px, height_px))


def code_points(primaries: int, transfer: int, matrix: int = 6, full_range: bool = True) -> bytes:
    """The property colr with the code points of ITU-T H.273."""
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full_range << 7))


def profile(icc: bytes) -> bytes:
    """The property colr with a profile."""
    return box(b"colr", b"prof" + icc)


def turned(quarters: int) -> bytes:
    """The property irot: quarter turns counter-clockwise."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis: int) -> bytes:
    """The property imir: 0 exchanges top and bottom, 1 left and right."""
    return box(b"imir", bytes([axis]))


def cropped(width_px: int, height_px: int, right_px: int, down_px: int) -> bytes:
    """The property clap: a size, and by how far its centre lies from the picture's, in half pixels."""
    return box(b"clap", struct.pack(">IIIIiIiI", width_px, 1, height_px, 1, right_px, 2, down_px, 2))


def auxiliary(urn: bytes) -> bytes:
    """The property auxC: what an auxiliary picture is for."""
    return full_box(b"auxC", urn)


def heif(items: Sequence[Item], primary: int = 1, *, associates_apart: bool = False) -> bytes:
    """A file of these items; ``associates_apart`` gives the properties of each in a box of its own."""
    head = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf")
    properties = _properties(items, associates_apart)
    data_at = len(head) + len(_meta(items, primary, properties, 0)) + 8
    return head + _meta(items, primary, properties, data_at) + box(b"mdat", b"".join(item.data for item in items))


def _meta(items: Sequence[Item], primary: int, properties: bytes, data_at: int) -> bytes:
    handler = full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
    parts = [handler, full_box(b"pitm", struct.pack(">H", primary)), _locations(items, data_at), _infos(items)]
    references = b"".join(
        box(kind, struct.pack(">HH", number, len(to)) + struct.pack(f">{len(to)}H", *to))
        for number, item in enumerate(items, 1)
        for kind, to in item.references
    )
    if references:
        parts.append(full_box(b"iref", references))
    return full_box(b"meta", b"".join([*parts, properties]))


def _locations(items: Sequence[Item], data_at: int) -> bytes:
    content = struct.pack(">BBH", 0x44, 0, len(items))
    for number, item in enumerate(items, 1):
        content += struct.pack(">HHHII", number, 0, 1, data_at, len(item.data))
        data_at += len(item.data)
    return full_box(b"iloc", content)


def _infos(items: Sequence[Item]) -> bytes:
    entries = b""
    for number, item in enumerate(items, 1):
        content_type = item.content_type + b"\0" if item.content_type else b""
        content = struct.pack(">HH", number, 0) + item.kind + b"\0" + content_type
        entries += full_box(b"infe", content, version=2, flags=int(item.is_hidden))
    return full_box(b"iinf", struct.pack(">H", len(items)) + entries)


def _properties(items: Sequence[Item], apart: bool) -> bytes:
    """Each property once for each item that has it."""
    boxes: list[bytes] = []
    associations: list[bytes] = []
    for number, item in enumerate(items, 1):
        association = struct.pack(">HB", number, len(item.properties))
        for each in item.properties:
            boxes.append(each)
            association += bytes([len(boxes) | 0x80 * (each[4:8] in _ESSENTIAL)])
        associations.append(association)
    groups = [[each] for each in associations] if apart else [associations]
    tables = [full_box(b"ipma", struct.pack(">I", len(group)) + b"".join(group)) for group in groups]
    return box(b"iprp", box(b"ipco", b"".join(boxes)) + b"".join(tables))


def boxes_of(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box in ``content``; none has a long length."""
    at = 0
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, at + 8, at + length
        at += length


def find(body: bytes, *path: bytes) -> bytes:
    """The content of the box at this path, of which ``meta`` alone is a full box."""
    for wanted in path:
        begin, end = next((begin, end) for kind, begin, end in boxes_of(body) if kind == wanted)
        body = body[begin + (4 if wanted == b"meta" else 0) : end]
    return body
