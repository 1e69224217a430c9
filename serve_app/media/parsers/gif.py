"""The blocks of a GIF, up to its trailer: where its frames lie, and how each is painted.

The canvas is as large as the file says, or as the first frame needs. Between blocks nothing should stand; what does is
stepped over, so that frames behind it are scanned, though not every program shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from serve_app.domain import TooLargeError, TruncatedError
from serve_app.domain.limits import MediaLimits

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


@dataclass(frozen=True, slots=True)
class GifFrame:
    """Where a frame lies and how it is painted. ``data`` is where its codes lie in the file, their size ahead."""

    box: tuple[int, int, int, int]
    palette: bytes
    is_interlaced: bool
    data: slice
    transparent: int | None = None
    disposal: int = 0
    duration_ms: int = 0


@dataclass(slots=True)
class GifFile:
    """What the blocks of a file say, as far as they go. ``size`` is that of the canvas."""

    size: tuple[int, int]
    frames: list[GifFrame] = field(default_factory=list)
    xmps: list[bytes] = field(default_factory=list)
    is_cut: bool = False


def read_gif(body: bytes, limits: MediaLimits) -> GifFile:
    """Every block up to the trailer, or up to where the file is cut.

    Args:
        body: begins with a GIF's signature.
        limits: how many frames, and how many pixels each frame may have.

    Raises:
        TruncatedError: not even the size of the canvas is there.
        TooLargeError: beyond ``limits``.
    """
    if len(body) < _SCREEN_BYTES:
        raise TruncatedError("this image/gif ends before its first pixel")
    file = GifFile((int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")))
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


def _read_frame(body: bytes, at: int, palette: bytes, control: bytes) -> GifFrame | None:
    """The frame whose descriptor is at ``at``; None where the file is cut before its first code."""
    flags_at = at + _PLACE_BYTES - 2
    if flags_at >= len(body):
        return None
    left, top, width_px, height_px = (int.from_bytes(body[at + n : at + n + 2], "little") for n in (0, 2, 4, 6))
    data_at = flags_at + 1 + _palette_bytes(body[flags_at])
    if data_at + 1 >= len(body):
        return None
    flags, delay, transparent = (control[1], control[2:4], control[4]) if control else (0, b"", 0)
    return GifFrame(
        box=(left, top, left + width_px, top + height_px),
        palette=body[flags_at + 1 : data_at] or palette,
        is_interlaced=bool(body[flags_at] & _INTERLACED),
        data=slice(data_at, _after_sub_blocks(body, data_at + 1)),
        transparent=transparent if flags & 1 else None,
        disposal=(flags >> 2) & 7,
        duration_ms=10 * int.from_bytes(delay, "little"),
    )


def _require_few(file: GifFile, frame: GifFrame, limits: MediaLimits) -> None:
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


def with_whole_blocks(data: bytes) -> bytes:
    """Sub-blocks that were cut (a byte or more), the last as long as it is: of a longer one, Pillow decodes nothing."""
    at = 0
    while at + 1 + data[at] < len(data):
        at += 1 + data[at]
    return data[:at] + bytes([len(data) - at - 1]) + data[at + 1 :]
