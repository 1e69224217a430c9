"""The canary: a harmless test picture that every installation refuses, as EICAR's file is for virus scanners.

It is drawn by code, and its letters come with Pillow, so that it is the same everywhere. Its hash is
:data:`serve_app.domain.canary.CANARY_PDQ`.
"""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

LINES = ("PICTWARDEN CANARY", "harmless test picture", "must be refused")

_SIZE_PX = (960, 720)
_SKY, _NIGHT, _WALL, _BIRD, _WING, _BEAK, _INK, _PAPER = (
    "#7ec8e3",
    "#12204a",
    "#c8553d",
    "#ffd23f",
    "#d98f00",
    "#ff5a1f",
    "#101010",
    "#ffffff",
)
_LETTERS_TIMES = (6, 4, 5)
_LETTERS_AT_PX = ((40, 28), (310, 560), (36, 636))


def canary_png() -> bytes:
    """The canary as a PNG of 960x720."""
    written = io.BytesIO()
    draw_canary().save(written, "PNG", optimize=True)
    return written.getvalue()


def draw_canary() -> Image.Image:
    """A yellow bird on a branch, night on one side and day on the other, and what it is in words.

    Large shapes without any symmetry, so that its hash hardly changes when it is re-encoded or shrunk.
    """
    picture = Image.new("RGB", _SIZE_PX, _SKY)
    draw = ImageDraw.Draw(picture)
    draw.polygon([(0, 0), (520, 0), (230, 720), (0, 720)], _NIGHT)
    draw.polygon([(700, 0), (960, 0), (960, 330), (850, 210)], _WALL)
    draw.ellipse((60, 130, 230, 300), _PAPER)
    draw.ellipse((110, 110, 270, 270), _NIGHT)
    draw.polygon([(0, 520), (960, 400), (960, 450), (0, 590)], _INK)
    draw.polygon([(640, 440), (900, 640), (840, 690), (560, 450)], _WING)
    draw.ellipse((390, 240, 720, 500), _BIRD)
    draw.ellipse((320, 130, 530, 330), _BIRD)
    draw.polygon([(335, 200), (200, 262), (345, 280)], _BEAK)
    draw.ellipse((385, 190, 425, 230), _INK)
    draw.chord((480, 270, 740, 470), 20, 200, _WING)
    draw.line([(500, 490), (480, 545)], _BEAK, 16)
    draw.line([(580, 490), (590, 535)], _BEAK, 16)
    for line, times, at_px in zip(LINES, _LETTERS_TIMES, _LETTERS_AT_PX, strict=True):
        _write(picture, line, times, at_px)
    return picture


def _write(picture: Image.Image, line: str, times: int, at_px: tuple[int, int]) -> None:
    """Letters of Pillow's bitmap font, enlarged, on a strip of paper."""
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = (int(side) for side in font.getbbox(line))
    letters = Image.new("L", (right - left + 4, bottom - top + 2))
    ImageDraw.Draw(letters).text((2, 1), line, 255, font)
    letters = letters.resize((letters.width * times, letters.height * times), Image.Resampling.NEAREST)
    picture.paste(_PAPER, (*at_px, at_px[0] + letters.width, at_px[1] + letters.height))
    picture.paste(_INK, at_px, letters)
