"""Resampling in SIMD gives what Pillow gives, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serve_app.media import resampling
from serve_app.media.resampling import Kernel, resampled

TWO_LEVELS = 2
"""Each rounds after its first direction, and not both take the same one first."""

GREYS = (64, 192)
"""No kernel overshoots black or white between these."""

SIDE_PX = st.integers(1, 300)


def noise(width_px: int, height_px: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(*GREYS, (height_px, width_px, 3), np.uint8))


def levels(picture: Image.Image) -> NDArray[np.int16]:
    return np.asarray(picture).astype(np.int16)


@pytest.mark.skipif(not resampling.HAS_SIMD, reason="no SIMD for this processor: Pillow itself resamples")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(SIDE_PX, SIDE_PX, SIDE_PX, SIDE_PX, st.sampled_from(Kernel), st.integers(0, 9))
@example(1, 1, 224, 224, Kernel.BICUBIC, 0)
@example(1, 4000, 224, 224, Kernel.BICUBIC, 0)
@example(2500, 2000, 224, 224, Kernel.BICUBIC, 0)
@example(2500, 2000, 256, 256, Kernel.BILINEAR, 0)
def test_every_size_to_every_size(
    width_px: int, height_px: int, to_width_px: int, to_height_px: int, kernel: Kernel, seed: int
) -> None:
    picture = noise(width_px, height_px, seed)
    ours, pillows = (
        resampled(picture, to_width_px, to_height_px, kernel),
        picture.resize((to_width_px, to_height_px), kernel.value),
    )
    assert np.abs(levels(ours) - levels(pillows)).max() <= TWO_LEVELS


@pytest.mark.parametrize("kernel", Kernel)
def test_where_there_is_no_simd_pillow_does_it(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(90, 70)
    monkeypatch.setattr(resampling, "HAS_SIMD", False)
    assert resampled(picture, 32, 24, kernel) == picture.resize((32, 24), kernel.value)
