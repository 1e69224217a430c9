"""The judge itself: the drawing tells pictures apart, and no file ends Chromium's run."""

from __future__ import annotations

import itertools

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.e2e.browser.chromium import draw_all
from tests.e2e.browser.generated.drawing import TURNS, draw, draw_other, encode
from tests.e2e.browser.judging import BLOCKS, MAX_DIFFERENCE, difference

SIDE_PX = 96
EVERYWHERE = np.ones((BLOCKS, BLOCKS), bool)
TURNED = [draw().transpose(turn) for turn in TURNS.values()]
SWAPPED = [
    Image.merge("RGB", [draw().getchannel(channel) for channel in order])
    for order in list(itertools.permutations("RGB"))[1:]
]


@pytest.mark.parametrize("other", [*TURNED, *SWAPPED, draw_other()])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_other_picture_is_far_from_the_drawing(other: Image.Image, mode: str) -> None:
    mine, theirs = (
        np.asarray(picture.convert(mode).convert("RGB").resize((SIDE_PX, SIDE_PX))) for picture in (draw(), other)
    )
    assert difference(mine, theirs, EVERYWHERE) > MAX_DIFFERENCE


@pytest.mark.usefixtures("chromium")
def test_a_file_that_ends_chromium_takes_no_other_with_it() -> None:
    def end_chromium() -> bytes:
        for process in psutil.Process().children():
            if "chrom" in process.name():
                process.kill()
        return b""

    picture = encode(draw(), "PNG")
    drawn = draw_all({"before": lambda: picture, "deadly": end_chromium, "after": lambda: picture})
    assert {name: each is not None for name, each in drawn.items()} == {"before": True, "deadly": False, "after": True}


@pytest.mark.usefixtures("chromium")
def test_chromium_shows_no_file_that_is_no_picture() -> None:
    assert draw_all({"text": lambda: b"drawn", "nothing": lambda: b""}) == {"text": None, "nothing": None}


@pytest.mark.usefixtures("chromium")
def test_chromium_draws_a_picture_over_white_and_over_black() -> None:
    file = encode(Image.new("RGBA", (100, 70), (255, 0, 0, 128)), "PNG")
    drawn = draw_all({"half transparent": lambda: file})["half transparent"]
    assert drawn is not None
    assert (drawn.width_px, drawn.height_px) == (100, 70)
    assert np.abs(drawn.over_white.astype(int) - (255, 127, 127)).max() <= 1
    assert np.abs(drawn.over_black.astype(int) - (128, 0, 0)).max() <= 1
