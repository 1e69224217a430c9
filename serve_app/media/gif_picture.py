"""A GIF as browsers show it, which the standard leaves open and Pillow does otherwise.

The canvas begins transparent, whatever background colour the file names; a frame is cut at its edge. Where a frame's
data end too soon, the pixels that are missing show what was there before.
"""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageChops

from serve_app.domain import TruncatedError, UndecodableError
from serve_app.domain.limits import MediaLimits
from serve_app.media.parsers.gif import GifFile, GifFrame, read_gif, with_whole_blocks

_CLEAR_TO_BACKGROUND = 2
_RESTORE_PREVIOUS = (3, 4)
"""Some standards count bits, some values; browsers take both."""
_BAND_PX = 256

_GREYS = bytes(level for level in range(256) for _ in range(3))
"""Without a palette browsers show black, and others this."""


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
    file = read_gif(body, limits)
    if file.is_cut and not (is_lenient and file.frames):
        raise TruncatedError("the end of this image/gif is missing")
    if not file.frames:
        raise UndecodableError("an image/gif without a frame")
    return GifPicture(body, file)


class GifPicture(Image.Image):
    """Frames painted on one RGBA canvas, the next over the last, decoded when they are asked for."""

    format = "GIF"

    def __init__(self, body: bytes, file: GifFile) -> None:
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

    def _dispose(self, canvas: Image.Image, frame: GifFrame) -> None:
        if frame.disposal == _CLEAR_TO_BACKGROUND:
            canvas.paste((0, 0, 0, 0), _within(frame.box, canvas))
        elif self._before is not None:
            canvas.paste(self._before, _within(frame.box, canvas))
        self._before = None

    def _paint(self, canvas: Image.Image, frame: GifFrame) -> None:
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

    def _decoded(self, frame: GifFrame) -> tuple[Image.Image, Image.Image | None]:
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

    def _filled(self, frame: GifFrame, colour: int) -> tuple[Image.Image, bool]:
        """A frame's colour numbers on a ground of ``colour``, and whether its data made up all of them."""
        left, top, right, bottom = frame.box
        numbers = Image.new("L", (right - left, bottom - top), colour)
        code_bits, data = self._body[frame.data.start], self._body[frame.data.start + 1 : frame.data.stop]
        if frame.data.stop > len(self._body):
            data = with_whole_blocks(data)
        try:
            numbers.frombytes(data, "gif", (code_bits, int(frame.is_interlaced), -1))
        except ValueError:
            return numbers, False
        return numbers, True


def _within(box: tuple[int, int, int, int], canvas: Image.Image) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    across, down = canvas.size
    return min(left, across), min(top, down), min(right, across), min(bottom, down)
