"""A PNG, with its frames on the canvas on which browsers put them."""

from __future__ import annotations

from PIL import PngImagePlugin

_FIRST_FRAME = 1
"""Of an animation beside a still, which Pillow counts as frame 0."""


class PngPicture(PngImagePlugin.PngImageFile):
    """As Pillow reads it, but for an animation beside a still that is none of its frames.

    Pillow puts the first frame on top of the still. Browsers begin with an empty canvas, as the standard asks (W3C PNG,
    third edition), on which a frame that is smaller or transparent shows another picture. Where the colours have no
    transparency, black stands for what is empty, and of a palette its first colour, as in Pillow's disposal of frames.
    """

    def _seek(self, frame: int, rewind: bool = False) -> None:
        super()._seek(frame, rewind)
        if frame == _FIRST_FRAME and self.default_image:
            self.im.paste(0, (0, 0, *self.size))
            self._prev_im = self.im.copy()
