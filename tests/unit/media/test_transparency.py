"""A picture with transparency is scanned over white and over black, so that neither background hides anything."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from .pictures import (
    GREY,
    TRUECOLOUR,
    encode,
    half_and_half,
    pixels_of,
    png,
)


@pytest.mark.parametrize(
    "media_type", ["image/png", "image/webp", "image/avif", "image/heic", "image/jxl", "image/tiff"]
)
@pytest.mark.parametrize(("ink", "shown_over"), [("white", 1), ("black", 0)])
def test_what_is_drawn_in_a_backgrounds_colour_shows_over_the_other(media_type: str, ink: str, shown_over: int) -> None:
    drawn = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    drawn.paste(ink, (8, 8, 24, 24))
    contrasts = [int(np.ptp(pixels)) for pixels in pixels_of(encode(drawn, media_type, quality=95), media_type)]
    assert contrasts[shown_over] > 200
    assert contrasts[1 - shown_over] < 20


def grey_with_alpha(ink: int) -> Image.Image:
    return half_and_half("LA", (ink, 255), (ink, 0))


def palette_with_one_transparent_colour(ink: int) -> Image.Image:
    picture = half_and_half("P", 0, 1)
    picture.putpalette([ink] * 6)
    picture.info["transparency"] = 1
    return picture


def palette_with_alpha(ink: int) -> Image.Image:
    picture = half_and_half("P", 0, 1)
    picture.putpalette([ink] * 6)
    picture.info["transparency"] = bytes([255, 0])
    return picture


@pytest.mark.parametrize("kind", [grey_with_alpha, palette_with_one_transparent_colour, palette_with_alpha])
@pytest.mark.parametrize(("ink", "shown_over"), [(255, 1), (0, 0)])
def test_every_kind_of_transparency_counts(kind: Callable[[int], Image.Image], ink: int, shown_over: int) -> None:
    contrasts = [int(np.ptp(pixels)) for pixels in pixels_of(encode(kind(ink)))]
    assert contrasts == [255 * (over == shown_over) for over in range(2)]


def test_a_transparent_gif_is_shown_over_both_backgrounds() -> None:
    contrasts = [
        int(np.ptp(pixels))
        for pixels in pixels_of(
            encode(palette_with_one_transparent_colour(255), "image/gif", transparency=1), "image/gif"
        )
    ]
    assert contrasts == [0, 255]


@pytest.mark.parametrize(("bits", "transparent", "ink"), [(1, 1, 0), (2, 1, 2), (4, 7, 8), (16, 1000, 1001)])
def test_pngs_one_transparent_grey_is_left_out(bits: int, transparent: int, ink: int) -> None:
    # A browser shows `ink` on its own background. Beside the transparent grey itself it is next to invisible.
    samples = np.full((8, 16), transparent, "u2")
    samples[:, 8:] = ink
    over_white, over_black = pixels_of(png(samples, GREY, bits, transparent.to_bytes(2, "big")))
    assert (over_white[0, 0, 0], over_black[0, 0, 0]) == (255, 0)
    assert over_white[0, -1, 0] == over_black[0, -1, 0]


@pytest.mark.parametrize(
    ("alpha", "times"),
    [
        (Image.new("L", (1024, 1024), 255), 1),
        (Image.new("L", (1024, 1024), 252), 1),
        (Image.new("L", (1024, 1024), 200), 2),
        (Image.new("L", (1024, 1024), 0), 2),
    ],
    ids=["opaque", "next to opaque", "translucent", "transparent"],
)
def test_a_picture_is_shown_over_both_backgrounds_only_if_that_shows_more(alpha: Image.Image, times: int) -> None:
    picture = Image.new("RGB", (1024, 1024), "teal")
    picture.putalpha(alpha)
    assert len(pixels_of(encode(picture, compress_level=1))) == times


def test_a_transparent_pixel_that_no_view_would_show_hides_nothing() -> None:
    picture = Image.new("RGBA", (4096, 2048), "teal")
    picture.putpixel((2000, 1000), (0, 0, 0, 0))
    assert len(pixels_of(encode(picture, compress_level=1))) == 1


def test_pngs_one_transparent_colour_is_left_out() -> None:
    over_white, over_black = pixels_of(encode(half_and_half("RGB", (9, 9, 9), (9, 9, 8)), transparency=(9, 9, 9)))
    assert (over_white[0, 0, 0], over_black[0, 0, 0]) == (255, 0)
    assert tuple(over_white[0, -1]) == tuple(over_black[0, -1]) == (9, 9, 8)


def test_one_transparent_colour_of_16_bits_is_compared_with_all_of_them() -> None:
    samples = np.full((8, 8, 3), 0x1234, "u2")
    samples[:, 4:, 2] += 1  # which 8 bits cannot tell apart
    body = png(samples, TRUECOLOUR, transparent=struct.pack(">HHH", 0x1234, 0x1234, 0x1234))
    over_white, over_black = pixels_of(body)
    assert (tuple(over_white[0, 0]), tuple(over_black[0, 0])) == ((255, 255, 255), (0, 0, 0))
    assert tuple(over_white[0, -1]) == tuple(over_black[0, -1]) == (0x12, 0x12, 0x12)
