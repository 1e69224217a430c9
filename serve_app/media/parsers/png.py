"""A PNG as any decoder takes it: without the chunks that are damaged or that no decoder needs.

The standard asks decoders to go on after an error in a chunk that only describes the picture (W3C PNG, 13.1), and
Pillow does not. What makes the picture stays as strict as the decoder is: IHDR, PLTE, IDAT, fdAT.

An animation whose chunks contradict each other is shown by some as the still picture that it begins with, by others as
far as they get. Here its frames are counted and numbered anew, so that all of them are scanned, and the still too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from serve_app.domain import TruncatedError
from serve_app.media.parsers.malformed import MalformedError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MAX_CHUNKS = 200_000
"""Encoders write a chunk for each 8 KiB of compressed pixels or more: this is a body of 1.6 GB."""

_MAX_PROFILE_BYTES = 4_000_000
_MAX_TEXT_BYTES = 1 << 20
_MAX_TEXTS = 8
"""Of those that may tell of an orientation: to unpack a thousand of them would take seconds."""

_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_EXIF_KEYWORDS = (b"Raw profile type exif", b"Raw profile type APP1")

# The fewest bytes of the chunks that describe how the pixels are to be shown, which stand before them.
_COLOUR_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"cLLI": 8, b"mDCV": 24}
_ONE_TRANSPARENT = {0: 2, 2: 6}
"""Colour type: bytes of its one transparent colour."""
_PALETTE = 3
_PALETTE_COLOURS = 256

_HEADER_BYTES = 13
_FRAME_CONTROL_BYTES = 26
_SEQUENCE_BYTES = 4


@dataclass(frozen=True, slots=True)
class PngFile:
    """``body`` is the PNG without what was left out. ``exifs``, ``xmps`` and ``profile`` were taken from it."""

    body: bytes
    exifs: tuple[bytes, ...]
    xmps: tuple[bytes, ...]
    profile: bytes | None


@dataclass(frozen=True, slots=True)
class PngChunk:
    """``content`` is a view of the file: pixels are copied once, into the repaired one."""

    name: bytes
    content: memoryview
    checksum: bytes

    @classmethod
    def made(cls, name: bytes, content: bytes | memoryview) -> PngChunk:
        """A chunk with a right checksum."""
        return cls(name, memoryview(content), _checksum(name, content))

    @property
    def is_sound(self) -> bool:
        """Whether its checksum is right."""
        return self.checksum == _checksum(self.name, self.content)

    def parts(self) -> tuple[bytes | memoryview, ...]:
        """What it is written as: a wrong checksum stays."""
        return len(self.content).to_bytes(4, "big"), self.name, self.content, self.checksum


def _checksum(name: bytes, content: bytes | memoryview) -> bytes:
    return zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")


def repaired_png(body: bytes, is_lenient: bool = False) -> PngFile:
    """Read the chunks of ``body`` and keep what a decoder needs.

    Args:
        body: begins with :data:`SIGNATURE`.
        is_lenient: take a file whose end is missing as far as it goes.

    Raises:
        TruncatedError: the last chunk is missing; where ``is_lenient``, all pixels are.
        MalformedError: no chunk of a PNG's own comes first, or more chunks than any that we read.
    """
    repair = _Repair()
    is_whole = False
    for number, chunk in enumerate(png_chunks(body, is_lenient)):
        if number > _MAX_CHUNKS:
            raise MalformedError(f"more than {_MAX_CHUNKS} chunks")
        if is_whole := chunk.name == b"IEND":
            break
        repair.take(chunk)
    if not is_whole and not is_lenient:
        raise TruncatedError("the end of this image/png is missing")
    if not is_whole and not repair.has_pixels:
        raise TruncatedError("this image/png ends before its first pixel")
    return repair.finished()


def png_chunks(body: bytes, is_lenient: bool = False) -> Iterator[PngChunk]:
    """The whole chunks, sound or not; then, where ``is_lenient``, the pixels there are of a last one that is cut."""
    view = memoryview(body)
    at = len(SIGNATURE)
    while at + 12 <= len(body):
        end = at + 8 + int.from_bytes(body[at : at + 4], "big")
        if end + 4 > len(body):
            break
        yield PngChunk(body[at + 4 : at + 8], view[at + 8 : end], body[end : end + 4])
        at = end + 4
    name, content = body[at + 4 : at + 8], view[at + 8 : at + 8 + int.from_bytes(body[at : at + 4], "big")]
    if is_lenient and name in (b"IDAT", b"fdAT") and content:
        yield PngChunk.made(name, content)


class _Repair:
    """Takes the chunks of one file in their order."""

    def __init__(self) -> None:
        self._header = b""
        self._ahead: dict[bytes, PngChunk] = {}
        self._first_pixels: list[PngChunk] = []
        self._frames = _Frames()
        self._description = _Description()

    @property
    def has_pixels(self) -> bool:
        return bool(self._first_pixels)

    def take(self, chunk: PngChunk) -> None:
        """Keep ``chunk``, learn from it, or pass over it.

        Raises:
            MalformedError: the first chunk of the file is no header, or its header is damaged.
        """
        if not self._header:
            if chunk.name != b"IHDR" or len(chunk.content) != _HEADER_BYTES or not chunk.is_sound:
                raise MalformedError("no sound header")
            self._header = bytes(chunk.content)
            return
        match chunk.name:
            case b"PLTE" if not self.has_pixels:
                self._ahead.setdefault(b"PLTE", chunk)
            case b"IDAT" if not self._frames.chunks:
                self._first_pixels.append(chunk)
            case b"acTL":
                self._frames.are_announced = True
            case b"fcTL":
                self._frames.announce(chunk.content, self._header, is_first=not self.has_pixels)
            case b"fdAT" if self.has_pixels:
                self._frames.take_pixels(chunk.content[_SEQUENCE_BYTES:])
            case _ if chunk.is_sound:
                self._take_description(chunk)

    def _take_description(self, chunk: PngChunk) -> None:
        if chunk.name in _COLOUR_CHUNKS or chunk.name == b"tRNS":
            if not self.has_pixels and self._is_long_enough(chunk):
                self._ahead.setdefault(chunk.name, chunk)
        else:
            self._description.take(chunk.name, bytes(chunk.content))

    def _is_long_enough(self, chunk: PngChunk) -> bool:
        if chunk.name in _COLOUR_CHUNKS:
            return len(chunk.content) >= _COLOUR_CHUNKS[chunk.name]
        colour_type = self._header[9]
        if colour_type == _PALETTE:
            return b"PLTE" in self._ahead and 0 < len(chunk.content) <= _PALETTE_COLOURS
        return colour_type in _ONE_TRANSPARENT and len(chunk.content) >= _ONE_TRANSPARENT[colour_type]

    def finished(self) -> PngFile:
        """The file that was made of the chunks."""
        chunks = [
            PngChunk.made(b"IHDR", self._header),
            *self._ahead.values(),
            *self._frames.ahead(),
            *self._first_pixels,
            *self._frames.behind(),
            PngChunk.made(b"IEND", b""),
        ]
        description = self._description
        return PngFile(
            b"".join([SIGNATURE, *(part for chunk in chunks for part in chunk.parts())]),
            tuple(description.exifs),
            tuple(description.xmps),
            description.profile,
        )


class _Frames:
    """The frames of an animation, numbered anew, those left out that do not lie within the picture."""

    def __init__(self) -> None:
        self.are_announced = False
        self.chunks: list[PngChunk] = []
        self._first: memoryview | None = None
        self._announced: memoryview | None = None
        self._is_under_way = False
        self._count = 0

    def announce(self, control: memoryview, header: bytes, is_first: bool) -> None:
        """Where the next frame lies; ``is_first`` if its pixels are those of the still picture."""
        self._is_under_way = False
        self._announced = None
        if len(control) < _FRAME_CONTROL_BYTES:
            return
        width_px, height_px, left_px, top_px = struct.unpack_from(">IIII", control, _SEQUENCE_BYTES)
        picture_px = struct.unpack_from(">II", header)
        if not (0 < width_px <= picture_px[0] - left_px and 0 < height_px <= picture_px[1] - top_px):
            return
        if not is_first:
            self._announced = control
        elif (width_px, height_px) == picture_px:
            self._first = control

    def take_pixels(self, pixels: memoryview) -> None:
        """Some pixels of the frame that was announced last."""
        if not self._is_under_way and self._announced is not None and pixels:
            self.chunks.append(self._numbered(b"fcTL", self._announced[_SEQUENCE_BYTES:]))
            self._count += 1
            self._is_under_way = True
        if self._is_under_way:
            self.chunks.append(self._numbered(b"fdAT", pixels))

    def ahead(self) -> list[PngChunk]:
        """What stands ahead of the still picture's pixels."""
        count = self._count + (self._first is not None)
        if not self.are_announced or not count:
            return []
        chunks = [PngChunk.made(b"acTL", struct.pack(">II", count, 0))]
        if self._first is not None:
            chunks.append(PngChunk.made(b"fcTL", bytes(_SEQUENCE_BYTES) + self._first[_SEQUENCE_BYTES:]))
        return chunks

    def behind(self) -> list[PngChunk]:
        """What stands behind them."""
        return self.chunks if self.are_announced else []

    def _numbered(self, name: bytes, content: memoryview) -> PngChunk:
        number = len(self.chunks) + (self._first is not None)
        return PngChunk.made(name, number.to_bytes(_SEQUENCE_BYTES, "big") + content)


class _Description:
    """What is read of the chunks that tell how the picture is to be shown, and that no decoder here is shown."""

    def __init__(self) -> None:
        self.exifs: list[bytes] = []
        self.xmps: list[bytes] = []
        self.profile: bytes | None = None
        self._has_profile = False
        self._texts = 0

    def take(self, name: bytes, content: bytes) -> None:
        """Learn from a chunk, or pass over it."""
        keyword, _, text = content.partition(b"\x00")
        if name == b"eXIf":
            self.exifs.append(content)
        elif name == b"iCCP" and not self._has_profile:
            self._has_profile = True
            self.profile = _unpacked(text[1:], _MAX_PROFILE_BYTES) if text[:1] == b"\x00" else None
        elif name == b"iTXt" and keyword == _XMP_KEYWORD:
            # Whether it is compressed and how, then a language and the keyword in it, each with a zero behind.
            self._add(self.xmps, text[2:].split(b"\x00", 2)[-1], is_packed=text[:1] != b"\x00")
        elif name in (b"tEXt", b"zTXt") and keyword in _RAW_EXIF_KEYWORDS:
            raw: list[bytes] = []
            self._add(raw, text if name == b"tEXt" else text[1:], is_packed=name == b"zTXt")
            self.exifs += filter(None, map(_from_hex, raw))

    def _add(self, to: list[bytes], text: bytes, is_packed: bool) -> None:
        self._texts += 1
        if self._texts <= _MAX_TEXTS and (unpacked := _unpacked(text, _MAX_TEXT_BYTES) if is_packed else text):
            to.append(unpacked)


def _unpacked(compressed: bytes, max_bytes: int) -> bytes | None:
    """None where it cannot be, or is longer."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(compressed, max_bytes)
    except zlib.error:
        return None
    return unpacked if unpacker.eof else None


def _from_hex(text: bytes) -> bytes | None:
    """The content of a raw profile, as ImageMagick writes it: a line feed, a name, a length, then hexadecimal lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return None
