"""What an AVIF or HEIF says of its pictures, without a decoder: which is shown, where its parts lie, what they mean.

Field names and widths are those of ISO/IEC 23008-12 (HEIF) and 14496-12. Every length is checked against the bytes that
are there, and each list is bounded by them, so that hostile bytes cost no more than to read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from serve_app.media.parsers.iso_boxes import Box, IsoBoxes, renamed
from serve_app.media.parsers.malformed import CutShortError, MalformedError

_FULL_BOX_BYTES = 4  # version and flags
_MAX_ENTRIES = 20_000
"""Items, references, properties of items and pieces of their data, each: a 40-megapixel grid of tiles has hundreds."""


@dataclass(slots=True)
class HeifItem:
    """A coded picture, one that is made of others, or metadata."""

    kind: bytes = b""
    pieces: list[tuple[int, int]] = field(default_factory=list)
    """Where in the file its data lies: begin and end of each piece, as stated."""
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Kind and content of each, in the order in which they are applied."""
    references: dict[bytes, list[int]] = field(default_factory=dict)
    """The items that it refers to, by the kind of reference."""

    def property(self, kind: bytes) -> bytes | None:
        """The first of this kind."""
        return next((content for each, content in self.properties if each == kind), None)


@dataclass(slots=True)
class HeifItems:
    """The items of one file by their identifiers."""

    primary: int = 0
    items: dict[int, HeifItem] = field(default_factory=dict)

    def item(self, identifier: int) -> HeifItem:
        """The item, which is new and empty where the file mentions it for the first time.

        Raises:
            MalformedError: more items than any real file has.
        """
        if identifier not in self.items and len(self.items) >= _MAX_ENTRIES:
            raise MalformedError("too many items")
        return self.items.setdefault(identifier, HeifItem())

    def alpha_of(self, identifier: int) -> int | None:
        """The item that holds the transparency of another, if there is one."""
        for other, item in self.items.items():
            if identifier in item.references.get(b"auxl", ()) and _is_alpha(item):
                return other
        return None


def read_items(body: bytes) -> HeifItems:
    """The items of the file's first ``meta`` box.

    Raises:
        MalformedError: there is none, or it is damaged or cut short.
    """
    boxes = IsoBoxes(body)
    meta = next(boxes.find(b"meta"), None)
    if meta is None:
        raise MalformedError("no pictures are named")
    if meta.end > len(body):
        raise CutShortError("the names of the pictures are cut short")
    children = list(boxes.inside(meta))
    idat = next((box.start for box in children if box.kind == b"idat"), 0)
    found = HeifItems()
    for box in children:
        fields = _Fields(body, box)
        match box.kind:
            case b"pitm":
                version, _ = fields.version_and_flags()
                found.primary = fields.number(4 if version else 2)
            case b"iinf":
                _read_infos(body, boxes, box, found)
            case b"iloc":
                _read_locations(fields, idat, found)
            case b"iref":
                _read_references(body, boxes, box, found)
            case b"iprp":
                _read_properties(body, boxes, box, found)
    return found


def _is_alpha(item: HeifItem) -> bool:
    purpose = (item.property(b"auxC") or b"")[_FULL_BOX_BYTES:].partition(b"\x00")[0]
    return purpose in (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


def primary_item(body: bytes) -> HeifItem:
    """The item that is shown. Empty where none can be found: what a decoder showed all the same says nothing more."""
    try:
        found = read_items(body)
    except MalformedError:
        return HeifItem()
    return found.items.get(found.primary, HeifItem())


def metadata_of(body: bytes) -> tuple[list[bytes], list[bytes]]:
    """Each block of EXIF, from its TIFF header on, and each other text that may be XMP.

    Empty where the items cannot be read: what a decoder showed all the same says nothing more.
    """
    exifs: list[bytes] = []
    texts: list[bytes] = []
    try:
        for item in read_items(body).items.values():
            if item.kind == b"Exif":
                block = data_of(body, item.pieces)
                exifs.append(block[4 + int.from_bytes(block[:4], "big") :])
            elif item.kind == b"mime":
                texts.append(data_of(body, item.pieces))
    except MalformedError:
        return [], []
    return exifs, texts


def without_alpha(body: bytes) -> bytes:
    """The file with the references by which transparency belongs to its pictures, and tracks, under another name."""
    boxes = IsoBoxes(body)
    names = [*boxes.find(b"meta", b"iref", b"auxl"), *boxes.find(b"moov", b"trak", b"tref", b"auxl")]
    return renamed(body, names, b"none")


def without_tracks(body: bytes) -> bytes:
    """The file with its tracks under another name, since libheif refuses stills beside some of them."""
    return renamed(body, IsoBoxes(body).find(b"moov"), b"free")


def is_cut(body: bytes) -> bool:
    """Whether something that an AVIF or HEIF shows lies beyond its end.

    What is cut off behind all pictures is not missed.
    """
    boxes = list(IsoBoxes(body).top())
    if boxes and boxes[-1].end > len(body) and boxes[-1].kind in (b"ftyp", b"meta", b"moov"):
        return True
    kinds = {box.kind for box in boxes}
    if b"moov" in kinds and any(box.kind == b"mdat" and box.end > len(body) for box in boxes):
        return True
    if b"meta" not in kinds:
        return kinds == {b"ftyp"}
    try:
        found = read_items(body)
    except MalformedError:
        return False
    return any(end > len(body) for item in found.items.values() for _, end in item.pieces)


class _Fields:
    """Numbers of one box, one after the other."""

    def __init__(self, body: bytes, box: Box) -> None:
        self._body = body
        self._end = box.end
        self.at = box.start

    def number(self, width_bytes: int) -> int:
        """The next one, highest byte first.

        Raises:
            MalformedError: it lies beyond the box.
        """
        start, self.at = self.at, self.at + width_bytes
        if self.at > min(self._end, len(self._body)):
            raise CutShortError("a box is cut short")
        return int.from_bytes(self._body[start : self.at], "big")

    def version_and_flags(self) -> tuple[int, int]:
        return self.number(1), self.number(3)

    def count(self, width_bytes: int) -> range:
        """As many rounds as the next number says.

        Raises:
            MalformedError: more than any real file has.
        """
        if (stated := self.number(width_bytes)) > _MAX_ENTRIES:
            raise MalformedError("a list is too long")
        return range(stated)


def _read_infos(body: bytes, boxes: IsoBoxes, box: Box, found: HeifItems) -> None:
    fields = _Fields(body, box)
    version, _ = fields.version_and_flags()
    fields.number(4 if version else 2)  # how many: they are walked over anyway
    for info in boxes.inside(box, fields.at - box.start):
        entry = _Fields(body, info)
        version, _ = entry.version_and_flags()
        if version >= 2:
            identifier = entry.number(2 if version == 2 else 4)
            entry.number(2)  # protection
            found.item(identifier).kind = entry.number(4).to_bytes(4, "big")


def _read_locations(fields: _Fields, idat: int, found: HeifItems) -> None:
    version, _ = fields.version_and_flags()
    widths = fields.number(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (widths >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in fields.count(2 if version < 2 else 4):
        item = found.item(fields.number(2 if version < 2 else 4))
        in_idat = version > 0 and fields.number(2) & 15 == 1
        fields.number(2)  # data reference
        base = fields.number(base_bytes) + (idat if in_idat else 0)
        for _ in fields.count(2):
            if version > 0:
                fields.number(index_bytes)
            start = base + fields.number(offset_bytes)
            item.pieces.append((start, start + fields.number(length_bytes)))


def _read_references(body: bytes, boxes: IsoBoxes, box: Box, found: HeifItems) -> None:
    fields = _Fields(body, box)
    version, _ = fields.version_and_flags()
    width_bytes = 4 if version else 2
    for reference in boxes.inside(box, fields.at - box.start):
        entry = _Fields(body, reference)
        targets = found.item(entry.number(width_bytes)).references.setdefault(reference.kind, [])
        targets += [entry.number(width_bytes) for _ in entry.count(2)]


def _read_properties(body: bytes, boxes: IsoBoxes, box: Box, found: HeifItems) -> None:
    contents: list[tuple[bytes, bytes]] = []
    associations: list[Box] = []
    for child in boxes.inside(box):
        if child.kind == b"ipco":
            contents += [(each.kind, body[each.start : each.end]) for each in boxes.inside(child)]
        elif child.kind == b"ipma":
            associations.append(child)
    for association in associations:
        for identifier, index in _associated(_Fields(body, association)):
            if 0 < index <= len(contents):
                found.item(identifier).properties.append(contents[index - 1])


def _associated(fields: _Fields) -> Iterator[tuple[int, int]]:
    """An item and the place of one of its properties, from 1 on."""
    version, flags = fields.version_and_flags()
    width_bytes = 2 if flags & 1 else 1
    for _ in fields.count(4):
        identifier = fields.number(4 if version else 2)
        for _ in fields.count(1):
            yield identifier, fields.number(width_bytes) & (0x7FFF if flags & 1 else 0x7F)


def data_of(body: bytes, pieces: Sequence[tuple[int, int]]) -> bytes:
    """The pieces joined.

    Raises:
        MalformedError: together they are longer than the file, so that some bytes would be read many times.
    """
    if sum(end - start for start, end in pieces) > len(body):
        raise MalformedError("a picture's data overlaps itself")
    return b"".join(body[start:end] for start, end in pieces)
