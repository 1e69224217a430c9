"""A BMP of any kind that browsers show: its headers, and its rows in RGBA.

Read with numpy, a band of rows at a time, since a large picture in 32 bits is held once already. Not read, by browsers
neither: a JPEG or a PNG inside a BMP, and the two compressions that only OS/2 had.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import TooLargeError, TruncatedError, UndecodableError, UnsupportedError

_FILE_HEADER_BYTES = 14
_CORE_HEADER_BYTES = 12
_INFO_HEADER_BYTES = 40
_WINDOWS_HEADER_BYTES = (40, 52, 56, 108, 124)

_UNCOMPRESSED, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_DEPTHS = {
    _UNCOMPRESSED: (1, 2, 4, 8, 16, 24, 32),
    _RLE8: (8,),
    _RLE4: (4,),
    _BIT_FIELDS: (16, 32),
    _ALPHA_BIT_FIELDS: (16, 32),
}
_USUAL_MASKS = {16: (0x7C00, 0x03E0, 0x001F, 0), 32: (0xFF0000, 0x00FF00, 0x0000FF, 0)}
_PALETTE_COLOURS = 256
_ALL_OPAQUE = b"\xff" * 256
_BAND_PX = 256

_END_OF_ROW, _END_OF_PICTURE, _MOVE = 0, 1, 2


_Band = tuple[int, NDArray[np.uint8]]
"""The number of its first row from the top, and the rows: ``(rows, width, 4)``, RGBA."""


@dataclass(frozen=True, slots=True)
class BmpFile:
    """``bands`` are decoded as they are iterated, once; of a cut file they do not cover the whole picture."""

    width_px: int
    height_px: int
    bands: Iterator[_Band]


@dataclass(frozen=True, slots=True)
class _Header:
    """``palette`` is ``(256, 3)``, RGB; ``masks`` are those of red, green, blue and alpha in a pixel's number."""

    width_px: int
    height_px: int
    bits: int
    compression: int
    is_top_down: bool
    palette: NDArray[np.uint8]
    masks: tuple[int, ...]
    pixels_at: int

    @property
    def row_bytes(self) -> int:
        """Rows are padded to whole words."""
        return (self.width_px * self.bits + 31) // 32 * 4


def read_bmp(body: bytes, max_pixels: int, is_lenient: bool = False) -> BmpFile:
    """The picture's size, and its rows.

    Args:
        body: begins with a BMP's signature and the size of its second header.
        max_pixels: how many it may have.
        is_lenient: take a file whose end is missing as far as it goes.

    Raises:
        TruncatedError: the end is missing; where ``is_lenient``, the first row too. As the bands are iterated, too.
        UndecodableError: no pixel.
        UnsupportedError: a compression or a depth that nothing shows.
        TooLargeError: more pixels than ``max_pixels``.
    """
    try:
        header = _read_header(body)
    except struct.error as error:
        raise TruncatedError("this image/bmp ends before its first pixel") from error
    if header.width_px < 1 or header.height_px < 1:
        raise UndecodableError(f"{header.width_px}x{header.height_px} pixels are no picture")
    if header.width_px * header.height_px > max_pixels:
        raise TooLargeError(f"{header.width_px}x{header.height_px} pixels are more than {max_pixels}")
    if header.bits not in _DEPTHS.get(header.compression, ()):
        raise UnsupportedError(f"unsupported: image/bmp with {header.bits} bits and compression {header.compression}")
    read = _run_lengths if header.compression in (_RLE8, _RLE4) else _rows
    return BmpFile(header.width_px, header.height_px, _upright(read(body, header, is_lenient), header))


def _upright(bands: Iterator[_Band], header: _Header) -> Iterator[_Band]:
    for first_row, band in bands:
        if header.is_top_down:
            yield first_row, band
        else:
            yield header.height_px - first_row - len(band), np.ascontiguousarray(band[::-1])


def _read_header(body: bytes) -> _Header:
    """Raises struct.error: the headers, or the table of colours, are cut."""
    (pixels_at, header_bytes) = struct.unpack_from("<II", body, 10)
    if len(body) < _FILE_HEADER_BYTES + header_bytes:
        raise struct.error("cut in its header")
    header = body[_FILE_HEADER_BYTES : _FILE_HEADER_BYTES + header_bytes]
    behind = _FILE_HEADER_BYTES + header_bytes
    if header_bytes == _CORE_HEADER_BYTES:
        width_px, height_px, _, bits = struct.unpack_from("<HHHH", header, 4)
        compression = colours = 0
    else:
        width_px, height_px, _, bits = struct.unpack_from("<iiHH", header, 4)
        # One that ends early, as OS/2 allows, has zeros for what is not there.
        compression, _, _, _, colours = struct.unpack_from("<5I", header.ljust(_INFO_HEADER_BYTES, b"\x00"), 16)
    if header_bytes not in _WINDOWS_HEADER_BYTES and compression in (_BIT_FIELDS, 4):
        compression = -1  # these numbers mean something else there
    masks = _USUAL_MASKS.get(bits, (0, 0, 0, 0))
    if compression in (_BIT_FIELDS, _ALPHA_BIT_FIELDS):
        count = 4 if compression == _ALPHA_BIT_FIELDS or header_bytes >= _INFO_HEADER_BYTES + 16 else 3
        told = struct.unpack_from(f"<{count}I", body, _FILE_HEADER_BYTES + _INFO_HEADER_BYTES)
        behind = max(behind, _FILE_HEADER_BYTES + _INFO_HEADER_BYTES + 4 * count)
        masks = (*told, 0)[:4] if any(told) else masks
    palette = np.zeros((_PALETTE_COLOURS, 3), np.uint8)
    if bits <= 8:
        entry_bytes = 3 if header_bytes == _CORE_HEADER_BYTES else 4
        count = min(colours or 1 << bits, 1 << bits)
        if pixels_at > behind:  # a table that is shorter than it should be ends where the pixels begin
            count = min(count, (pixels_at - behind) // entry_bytes)
        if len(body) < behind + count * entry_bytes:
            raise struct.error("cut in its palette")
        entries = np.frombuffer(body, np.uint8, count * entry_bytes, behind).reshape(count, entry_bytes)
        palette[:count] = entries[:, 2::-1]
        behind += count * entry_bytes
    is_placed = pixels_at >= _FILE_HEADER_BYTES + header_bytes
    return _Header(
        width_px, abs(height_px), bits, compression, height_px < 0, palette, masks, pixels_at if is_placed else behind
    )


def _rows(body: bytes, header: _Header, is_lenient: bool) -> Iterator[_Band]:
    """Bands in the order of the file: the number of the first row, and the rows, ``(rows, width, 4)``, RGBA."""
    there = max(0, len(body) - header.pixels_at) // header.row_bytes
    if there < header.height_px and not (is_lenient and there):
        raise TruncatedError("the end of this image/bmp is missing")
    for first in range(0, min(there, header.height_px), _BAND_PX):
        count = min(_BAND_PX, min(there, header.height_px) - first)
        stored = np.frombuffer(body, np.uint8, count * header.row_bytes, header.pixels_at + first * header.row_bytes)
        yield first, _colours(stored.reshape(count, header.row_bytes), header)


def _colours(rows: NDArray[np.uint8], header: _Header) -> NDArray[np.uint8]:
    colours = np.full((len(rows), header.width_px, 4), 255, np.uint8)
    if header.bits == 24:
        colours[..., :3] = rows[:, : 3 * header.width_px].reshape(len(rows), -1, 3)[..., ::-1]
    elif header.bits > 8:
        numbers = rows.view(f"<u{header.bits // 8}")[:, : header.width_px]
        for channel, mask in enumerate(header.masks):
            if mask or channel < 3:
                colours[..., channel] = _levels(numbers, mask)
    else:
        shifts = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
        indices = (rows[..., None] >> shifts & ((1 << header.bits) - 1)).reshape(len(rows), -1)
        colours[..., :3] = header.palette[indices[:, : header.width_px]]
    return colours


def _levels(numbers: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """What ``mask`` takes out of each number, stretched to 0..255."""
    shift = (mask & -mask).bit_length() - 1 if mask else 0
    highest = mask >> shift
    if not highest:
        return np.zeros(numbers.shape, np.uint8)
    return (((numbers & mask) >> shift) * np.float32(255 / highest)).round().astype(np.uint8)


def _run_lengths(body: bytes, header: _Header, is_lenient: bool) -> Iterator[_Band]:
    """As :func:`_rows`. What no run paints is transparent, as in browsers."""
    runs = _Runs(header)
    is_whole = runs.paint(body, header.pixels_at)
    if not is_whole and not (is_lenient and any(runs.alpha)):
        raise TruncatedError("the end of this image/bmp is missing")
    shape = (header.height_px, header.width_px)
    indices, alpha = (np.frombuffer(each, np.uint8).reshape(shape) for each in (runs.indices, runs.alpha))
    for first in range(0, header.height_px, _BAND_PX):
        band = slice(first, first + _BAND_PX)
        yield first, np.dstack([header.palette[indices[band]], alpha[band]])


class _Runs:
    """A run-length encoded picture, row after row: colour numbers, and 255 where a run painted one.

    In bytes and not in numpy, which costs too much for each of a million short runs.
    """

    def __init__(self, header: _Header) -> None:
        self._is_rle4 = header.compression == _RLE4
        self._width_px, self._height_px = header.width_px, header.height_px
        self.indices = bytearray(header.width_px * header.height_px)
        self.alpha = bytearray(header.width_px * header.height_px)

    def paint(self, body: bytes, at: int) -> bool:
        """Follow the commands at ``at``; whether they ended, or had painted the last pixel when the file ended."""
        across = down = 0
        while at + 2 <= len(body) and down < self._height_px:
            count, value = body[at], body[at + 1]
            at += 2
            if count:
                self._paint(down, across, self._repeated(value, count))
                across += count
            elif value == _END_OF_ROW:
                across, down = 0, down + 1
            elif value == _END_OF_PICTURE:
                return True
            elif value == _MOVE:
                if at + 2 > len(body):
                    return False
                across, down = across + body[at], down + body[at + 1]
                at += 2
            else:
                size = (value + 1) // 2 if self._is_rle4 else value
                if at + size > len(body):
                    return False
                self._paint(down, across, self._unpacked(body[at : at + size])[:value])
                across += value
                at += size + size % 2
        return down >= self._height_px or (down == self._height_px - 1 and across >= self._width_px)

    def _paint(self, down: int, across: int, pixels: bytes) -> None:
        count = min(len(pixels), self._width_px - across)
        if count > 0:
            start = down * self._width_px + across
            self.indices[start : start + count] = pixels[:count]
            self.alpha[start : start + count] = _ALL_OPAQUE[:count]

    def _repeated(self, value: int, count: int) -> bytes:
        return (bytes([value >> 4, value & 15]) * (count // 2 + 1))[:count] if self._is_rle4 else bytes([value]) * count

    def _unpacked(self, packed: bytes) -> bytes:
        return bytes(half for each in packed for half in (each >> 4, each & 15)) if self._is_rle4 else packed
