"""GIF, block by block (GIF89a specification): Pillow writes frames as it thinks best."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.e2e.browser.generated.drawing import SIZE_PX, Makers, draw, draw_other

_TRAILER = b";"
_LOOPS = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"

# The first row, and the step, of the four passes of interlacing.
_INTERLACING = ((0, 8), (4, 8), (2, 4), (1, 2))


@dataclass(frozen=True, slots=True)
class _Frame:
    """``numbers`` of colours ``(height, width)``; ``place`` is the column and row of its corner."""

    numbers: NDArray[np.uint8]
    palette: bytes = b""
    """Its own one; empty if it uses the file's."""
    place: tuple[int, int] = (0, 0)
    disposal: int = 0
    transparent: int | None = None
    is_interlaced: bool = False
    has_control: bool = True


def _quantised(picture: Image.Image, colours: int = 200) -> tuple[NDArray[np.uint8], bytes]:
    small = picture.quantize(colours, dither=Image.Dither.NONE)
    return np.array(small), bytes(small.getpalette() or [])


def _gif(
    frames: list[_Frame],
    palette: bytes = b"",
    *,
    canvas_px: tuple[int, int] = SIZE_PX,
    version: bytes = b"89a",
    background: int = 0,
    ahead: bytes = _LOOPS,
    end: bytes = _TRAILER,
) -> bytes:
    flags, table = _table(palette)
    header = b"GIF" + version + struct.pack("<HHBBB", *canvas_px, flags, background, 0) + table
    return header + ahead + b"".join(map(_blocks, frames)) + end


def _table(palette: bytes) -> tuple[int, bytes]:
    """Flags of a header, and the table of colours, filled up to a power of two."""
    if not palette:
        return 0, b""
    bits = max(1, (len(palette) // 3 - 1).bit_length())
    return 0x80 | (bits - 1), palette.ljust(3 << bits, b"\0")


def _blocks(frame: _Frame) -> bytes:
    height, width = frame.numbers.shape
    numbers = frame.numbers
    if frame.is_interlaced:
        numbers = np.concatenate([numbers[first::step] for first, step in _INTERLACING])
    control = b""
    if frame.has_control:
        flags = frame.disposal << 2 | (frame.transparent is not None)
        control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, 100, frame.transparent or 0, 0)
    flags, table = _table(frame.palette)
    place = struct.pack("<BHHHHB", 0x2C, *frame.place, width, height, flags | frame.is_interlaced << 6)
    return control + place + table + _compressed(numbers)


def _compressed(numbers: NDArray[np.uint8]) -> bytes:
    """LZW that never uses its table: it is cleared before codes would grow longer than 9 bits."""
    codes = [code for start in range(0, numbers.size, 200) for code in (256, *numbers.ravel()[start : start + 200])]
    bits = np.array([*codes, 257], "<u2").view(np.uint8).reshape(-1, 2)
    data = np.packbits(np.unpackbits(bits, axis=1, bitorder="little")[:, :9], bitorder="little").tobytes()
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"\x08" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _still(**options: object) -> bytes:
    numbers, palette = _quantised(draw())
    return _gif([_Frame(numbers)], palette, **options)  # type: ignore[arg-type]


def _still_frame(has_own_palette: bool = False, **options: object) -> bytes:
    numbers, palette = _quantised(draw())
    if has_own_palette:
        _, other = _quantised(draw_other())
        return _gif([_Frame(numbers, palette, **options)], other)  # type: ignore[arg-type]
    return _gif([_Frame(numbers, **options)], palette)  # type: ignore[arg-type]


def _animation(first: dict[str, object], **options: object) -> bytes:
    """The drawing, and two other pictures after it."""
    numbers, palette = _quantised(draw())
    other, other_palette = _quantised(draw_other())
    frames = [_Frame(numbers, **first), _Frame(other, other_palette), _Frame(other[::-1], other_palette)]  # type: ignore[arg-type]
    return _gif(frames, palette, **options)  # type: ignore[arg-type]


def _background_number() -> int:
    """The commonest number of the drawing: its background."""
    return int(np.bincount(_quantised(draw())[0].ravel()).argmax())


def _placed(
    place: tuple[int, int], canvas_px: tuple[int, int] = SIZE_PX, background: int = 0, **options: object
) -> bytes:
    """The drawing at a place on a canvas of another size."""
    numbers, palette = _quantised(draw())
    return _gif([_Frame(numbers, place=place, **options)], palette, canvas_px=canvas_px, background=background)  # type: ignore[arg-type]


def stills() -> Makers:
    """Palettes, interlacing, transparency, places on the canvas."""
    yield "gif-plain.gif", _still
    yield "gif-87a.gif", lambda: _still_frame(has_control=False).replace(b"GIF89a", b"GIF87a", 1)
    yield "gif-interlaced.gif", partial(_still_frame, is_interlaced=True)
    yield "gif-own-palette.gif", partial(_still_frame, has_own_palette=True)
    for colours in (2, 4, 16, 256):
        yield f"gif-{colours}-colours.gif", partial(_few_colours, colours)
    yield "gif-without-palette.gif", lambda: _gif([_Frame(_quantised(draw())[0])])
    yield "gif-transparent-background.gif", lambda: _still_frame(transparent=_background_number())
    yield "gif-transparent-number-beyond-palette.gif", partial(_still_frame, transparent=255)
    yield "gif-background-of-every-number.gif", lambda: _still(background=_background_number())
    yield "gif-smaller-than-its-canvas.gif", partial(_placed, (30, 20), (200, 150))
    yield "gif-smaller-than-its-canvas-with-background.gif", lambda: _placed((30, 20), (200, 150), _background_number())
    yield (
        "gif-smaller-than-its-canvas-with-transparency.gif",
        lambda: _placed((30, 20), (200, 150), transparent=_background_number()),
    )
    yield "gif-over-the-right-edge.gif", partial(_placed, (40, 0))
    yield "gif-over-the-lower-edge.gif", partial(_placed, (0, 30))
    yield "gif-beside-its-canvas.gif", partial(_placed, (300, 300))
    yield "gif-larger-than-its-canvas.gif", partial(_placed, (0, 0), (80, 70))
    yield "gif-canvas-of-no-size.gif", partial(_placed, (0, 0), (0, 0))
    yield "gif-comment.gif", partial(_still, ahead=b"\x21\xfe\x05drawn\0")
    yield "gif-unknown-extension.gif", partial(_still, ahead=b"\x21\x42\x05drawn\0")
    yield "gif-text-on-it.gif", partial(_still, ahead=_text_block())
    yield "gif-garbage-behind.gif", partial(_still, end=_TRAILER + b"drawn" * 50)
    yield "gif-without-its-trailer.gif", partial(_still, end=b"")
    yield "gif-zero-behind-its-picture.gif", partial(_still, end=b"\0" + _TRAILER)
    yield "gif-cut.gif", lambda: _still()[:-4000]
    yield "gif-fewer-pixels-than-rows.gif", _lacking_rows
    yield "gif-more-pixels-than-rows.gif", _with_surplus_rows


def _few_colours(colours: int) -> bytes:
    numbers, palette = _quantised(draw(), colours)
    return _gif([_Frame(numbers)], palette)


def _text_block() -> bytes:
    return b"\x21\x01\x0c" + struct.pack("<HHHHBBBB", 0, 0, 60, 10, 10, 10, 1, 0) + b"\x05drawn\0"


def _lacking_rows() -> bytes:
    numbers, palette = _quantised(draw())
    data = _compressed(numbers)
    return _gif([_Frame(numbers)], palette).replace(data, _compressed(numbers[:70]))


def _with_surplus_rows() -> bytes:
    numbers, palette = _quantised(draw())
    data = _compressed(numbers)
    return _gif([_Frame(numbers)], palette).replace(data, _compressed(np.vstack([numbers, numbers])))


def _animation_over_transparency(disposal: int) -> bytes:
    return _animation({"disposal": disposal, "transparent": _background_number()})


def animations() -> Makers:
    """Each disposal; first frames of every kind."""
    for disposal in range(8):
        yield f"gif-animated-disposal-{disposal}.gif", partial(_animation, {"disposal": disposal})
        yield (
            f"gif-animated-disposal-{disposal}-transparent.gif",
            partial(_animation_over_transparency, disposal),
        )
    yield "gif-animated-interlaced.gif", partial(_animation, {"is_interlaced": True})
    yield "gif-animated-first-frame-is-smaller.gif", partial(_animation, {"place": (50, 40)}, canvas_px=(200, 150))
    yield "gif-animated-first-frame-over-the-edge.gif", partial(_animation, {"place": (40, 30)})
    yield "gif-animated-later-frames-are-larger.gif", partial(_animation, {}, canvas_px=(80, 70))
    yield "gif-animated-without-control.gif", partial(_animation, {"has_control": False})
    yield "gif-animated-without-loops.gif", partial(_animation, {}, ahead=b"")
    yield "gif-animated-without-its-trailer.gif", partial(_animation, {}, end=b"")
    yield "gif-animated-cut-in-its-last-frame.gif", lambda: _animation({})[:-3000]


def files() -> Makers:
    """All of them."""
    yield from stills()
    yield from animations()
