"""What is shrunk before its colours are worked on looks as if it had been shrunk afterwards."""

import numpy as np
import pytest
from PIL import Image

from serve_app.media.views import reduced, reduced_before_colours

SIZE_PX = 16


def noisy(mode, size, seed=1):
    bands = len(mode)
    shape = (size[1], size[0], bands) if bands > 1 else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode)


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_opaque_pictures_are_averaged_in_blocks(mode):
    picture = noisy(mode, (400, 300))
    small = reduced_before_colours(picture, SIZE_PX, 12, 1)
    assert small.size == reduced(picture, SIZE_PX, 12, 1 if mode == "CMYK" else 2).size
    assert small.width < picture.width


@pytest.mark.parametrize("size", [(400, 300), (401, 299), (1000, 257), (64, 5000)])
def test_transparent_pictures_are_averaged_by_alpha_whatever_the_bands(size):
    colours = noisy("RGB", size)
    alpha = Image.fromarray(np.random.default_rng(2).integers(0, 256, (size[1], size[0]), dtype=np.uint8))
    picture = colours.copy()
    picture.putalpha(alpha)
    small = reduced_before_colours(picture, SIZE_PX, 12, 1)
    expected = reduced(picture.convert("RGBa"), SIZE_PX, 12, 1).convert("RGBA")
    assert small.size == expected.size
    difference = np.asarray(small).astype(int) - np.asarray(expected).astype(int)
    assert np.abs(difference).max() <= 1


def test_what_is_transparent_does_not_bleed_into_what_is_seen():
    picture = Image.new("RGBA", (400, 400), (0, 255, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 200, 400))
    small = np.asarray(reduced_before_colours(picture, SIZE_PX, 12, 1))
    seen = small[small[..., 3] > 0]
    assert (seen[:, :3] == (255, 0, 0)).all()


def test_a_picture_in_which_one_colour_means_transparent_is_left_as_it_is():
    picture = Image.new("RGB", (400, 400))
    picture.info["transparency"] = (0, 0, 0)
    assert reduced_before_colours(picture, SIZE_PX, 12, 1) is picture
