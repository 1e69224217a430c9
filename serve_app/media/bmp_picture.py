"""A BMP of any kind that browsers show. Pillow knows some layouts of its colours, and not each of its headers."""

from __future__ import annotations

from PIL import Image

from serve_app.media.parsers.bmp import read_bmp

_OPAQUE = 255


def open_bmp(body: bytes, max_pixels: int, is_lenient: bool = False) -> Image.Image:
    """The picture, decoded: RGB, or RGBA where it has transparency.

    Raises:
        UnscannedError: as :func:`serve_app.media.parsers.bmp.read_bmp`, with the same arguments.
    """
    file = read_bmp(body, max_pixels, is_lenient)
    picture = Image.new("RGBA", (file.width_px, file.height_px))
    for top, band in file.bands:
        picture.paste(Image.fromarray(band), (0, top))
    picture = _settled(picture)
    picture.format = "BMP"
    return picture


def _settled(picture: Image.Image) -> Image.Image:
    """Without its alpha where that hides nothing, or everything: then nobody filled it, and most programs ignore it."""
    lowest, highest = picture.getchannel("A").getextrema()
    return picture.convert("RGB") if lowest == _OPAQUE or highest == 0 else picture
