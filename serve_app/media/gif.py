"""A GIF as browsers show it, which the standard leaves open and Pillow does otherwise.

The canvas begins transparent, whatever background colour the file names. It is as large as the file says, or as the
first frame needs; a later one is cut at its edge. Where a frame's data end too soon, the pixels that are missing show
what was there before. Between blocks nothing should stand; what does is stepped over, so that frames behind it are
scanned, though not every program shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageChops

from serve_app.domain import TooLargeError, TruncatedError, UndecodableError
from serve_app.media.limits import MediaLimits

_TRAILER = 0x3B
_IMAGE = 0x2C
_EXTENSION = 0x21
_CONTROL = 0xF9
_APPLICATION = 0xFF
_XMP_NAME = b"\x0bXMP DataXMP"

_SCREEN_BYTES = 13
_PLACE_BYTES = 10
_CONTROL_BYTES = 6

_INTERLACED = 0x40
_CLEAR_TO_BACKGROUND = 2
_RESTORE_PREVIOUS = (3, 4)
"""Some standards count bits, some values; browsers take both."""
_BAND_PX = 256

_GREYS = bytes(level for level in range(256) for _ in range(3))
"""Without a palette browsers show black, and others this."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a frame lies and how it is painted. ``data`` is where its codes lie in the file, their size ahead."""

    box: tuple[int, int, int, int]
    palette: bytes
    is_interlaced: bool
    data: slice
    transparent: int | None = None
    disposal: int = 0
    duration_ms: int = 0


@dataclass(slots=True)
class _File:
    size: tuple[int, int]
    frames: list[_Frame] = field(default_factory=list)
    xmps: list[bytes] = field(default_factory=list)
    is_cut: bool = False


def open_gif(body: bytes, limits: MediaLimits, is_lenient: bool = False) -> GifPicture:
    """The picture at its first frame, nothing decoded.

    Args:
        body: begins with a GIF's signature.
        limits: how many frames, and how many pixels each frame and the canvas may have.
        is_lenient: take a file whose end is missing as far as it goes.

    Raises:
        TruncatedError: the trailer is missing; where ``is_lenient``, the first pixel too.
        UndecodableError: no frame, or no pixel.
        TooLargeError: beyond ``limits``.
    """
    file = _read(body, limits)
    if file.is_cut and not (is_lenient and file.frames):
        raise TruncatedError("the end of this image/gif is missing")
    if not file.frames:
        raise UndecodableError("an image/gif without a frame")
    return GifPicture(body, file)


class GifPicture(Image.Image):
    """Frames painted on one RGBA canvas, the next over the last, decoded when they are asked for."""

    format = "GIF"

    def __init__(self, body: bytes, file: _File) -> None:
        super().__init__()
        self._body = body
        self._file = file
        self._mode = "RGBA"
        self._size = file.size
        self.n_frames = len(file.frames)
        self.xmps = tuple(file.xmps)
        self._at = 0
        self._painted = -1
        self._canvas: Image.Image | None = None
        self._before: Image.Image | None = None
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to a frame, not before the one that was painted last."""
        self._at = frame
        self.info["duration"] = self._file.frames[frame].duration_ms

    def tell(self) -> int:
        """The frame that this stands at."""
        return self._at

    def load(self) -> Any:
        """Paint the frames up to this one."""
        canvas = self._canvas if self._canvas is not None else Image.new("RGBA", self.size)
        for number in range(self._painted + 1, self._at + 1):
            if number:
                self._dispose(canvas, self._file.frames[number - 1])
            self._paint(canvas, self._file.frames[number])
            self._painted = number
        self._canvas = canvas
        self.im = canvas.im
        return super().load()

    def _dispose(self, canvas: Image.Image, frame: _Frame) -> None:
        if frame.disposal == _CLEAR_TO_BACKGROUND:
            canvas.paste((0, 0, 0, 0), _within(frame.box, canvas))
        elif self._before is not None:
            canvas.paste(self._before, _within(frame.box, canvas))
        self._before = None

    def _paint(self, canvas: Image.Image, frame: _Frame) -> None:
        if frame.disposal in _RESTORE_PREVIOUS:
            self._before = canvas.crop(_within(frame.box, canvas))
        left, top, right, bottom = frame.box
        if right <= left or bottom <= top:
            return
        colours, shown = self._decoded(frame)
        # In bands, since a large frame in RGBA takes four times the memory of its colour numbers.
        for start in range(0, min(bottom, canvas.height) - top, _BAND_PX):
            band = (0, start, right - left, min(start + _BAND_PX, bottom - top))
            numbers = colours.crop(band)
            numbers.putpalette(frame.palette or _GREYS)
            canvas.paste(numbers.convert("RGBA"), (left, top + start), None if shown is None else shown.crop(band))

    def _decoded(self, frame: _Frame) -> tuple[Image.Image, Image.Image | None]:
        """A frame's colour numbers, and 255 wherever one of them is seen; None where all are."""
        colours, is_whole = self._filled(frame, 0)
        if is_whole and frame.transparent is None:
            return colours, None
        is_seen = [255] * 256
        if frame.transparent is not None:
            is_seen[frame.transparent] = 0
        shown = colours.point(is_seen)
        if not is_whole:
            # What another filling changes was not painted by the frame.
            other, _ = self._filled(frame, 1)
            shown = ImageChops.darker(shown, ImageChops.difference(colours, other).point([255] + [0] * 255))
        return colours, shown

    def _filled(self, frame: _Frame, colour: int) -> tuple[Image.Image, bool]:
        """A frame's colour numbers on a ground of ``colour``, and whether its data made up all of them."""
        left, top, right, bottom = frame.box
        numbers = Image.new("L", (right - left, bottom - top), colour)
        code_bits, data = self._body[frame.data.start], self._body[frame.data.start + 1 : frame.data.stop]
        if frame.data.stop > len(self._body):
            data = _with_whole_blocks(data)
        try:
            numbers.frombytes(data, "gif", (code_bits, int(frame.is_interlaced), -1))
        except ValueError:
            return numbers, False
        return numbers, True


def _within(box: tuple[int, int, int, int], canvas: Image.Image) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    across, down = canvas.size
    return min(left, across), min(top, down), min(right, across), min(bottom, down)


def _read(body: bytes, limits: MediaLimits) -> _File:
    """Every block up to the trailer, or up to where the file is cut."""
    if len(body) < _SCREEN_BYTES:
        raise TruncatedError("this image/gif ends before its first pixel")
    file = _File((int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")))
    at = _SCREEN_BYTES + _palette_bytes(body[10])
    palette = body[_SCREEN_BYTES:at]
    control = b""
    while at < len(body) and body[at] != _TRAILER:
        if body[at] == _EXTENSION:
            content = at + 2
            at = _after_sub_blocks(body, content)
            if body[content - 1 : content] == bytes([_CONTROL]) and at - content >= _CONTROL_BYTES:
                control = body[content:at]
            elif body[content - 1 : content + len(_XMP_NAME)] == bytes([_APPLICATION]) + _XMP_NAME:
                file.xmps.append(body[content + len(_XMP_NAME) : at])
        elif body[at] == _IMAGE:
            frame = _read_frame(body, at + 1, palette, control)
            control = b""
            if frame is None:
                break
            _require_few(file, frame, limits)
            if not file.frames:
                file.size = max(file.size[0], frame.box[2]), max(file.size[1], frame.box[3])
            file.frames.append(frame)
            at = frame.data.stop
        else:
            at += 1
    file.is_cut = at >= len(body) or body[at] != _TRAILER
    return file


def _read_frame(body: bytes, at: int, palette: bytes, control: bytes) -> _Frame | None:
    """The frame whose descriptor is at ``at``; None where the file is cut before its first code."""
    flags_at = at + _PLACE_BYTES - 2
    if flags_at >= len(body):
        return None
    left, top, width_px, height_px = (int.from_bytes(body[at + n : at + n + 2], "little") for n in (0, 2, 4, 6))
    data_at = flags_at + 1 + _palette_bytes(body[flags_at])
    if data_at + 1 >= len(body):
        return None
    flags, delay, transparent = (control[1], control[2:4], control[4]) if control else (0, b"", 0)
    return _Frame(
        box=(left, top, left + width_px, top + height_px),
        palette=body[flags_at + 1 : data_at] or palette,
        is_interlaced=bool(body[flags_at] & _INTERLACED),
        data=slice(data_at, _after_sub_blocks(body, data_at + 1)),
        transparent=transparent if flags & 1 else None,
        disposal=(flags >> 2) & 7,
        duration_ms=10 * int.from_bytes(delay, "little"),
    )


def _require_few(file: _File, frame: _Frame, limits: MediaLimits) -> None:
    if len(file.frames) >= limits.max_frames_total:
        raise TooLargeError(f"{1 + len(file.frames)} frames are more than {limits.max_frames_total}")
    left, top, right, bottom = frame.box
    if (right - left) * (bottom - top) > limits.max_pixels:
        raise TooLargeError(f"{right - left}x{bottom - top} pixels are more than {limits.max_pixels}")


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(body: bytes, at: int) -> int:
    """Where the blocks end that begin at ``at``: behind the empty one, or behind the file where it is cut."""
    while at < len(body) and body[at]:
        at += 1 + body[at]
    return at + 1


def _with_whole_blocks(data: bytes) -> bytes:
    """Sub-blocks that were cut, the last one as long as it is: of one that is longer, Pillow would decode nothing."""
    at = 0
    while at + 1 + data[at] < len(data):
        at += 1 + data[at]
    return data[:at] + bytes([len(data) - at - 1]) + data[at + 1 :]
