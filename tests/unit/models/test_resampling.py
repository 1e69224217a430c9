"""Views made smaller are what Pillow, which cuts views, would have made of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from serve_app.models.resampling import shrink


@pytest.mark.parametrize(("larger_px", "size_px"), [(224, 64), (299, 224), (224, 8), (65, 64)])
def test_shrinking_is_pillows_antialiased_bicubic(larger_px: int, size_px: int) -> None:
    views = np.random.default_rng(5).integers(0, 256, (2, larger_px, larger_px, 3), dtype=np.uint8)
    views[1, larger_px // 3 :, : larger_px // 2] = (255, 0, 30)
    expected = [
        np.asarray(Image.fromarray(view).resize((size_px, size_px), Image.Resampling.BICUBIC)) for view in views
    ]
    difference = np.abs(shrink(views, size_px).astype(int) - np.stack(expected).astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_views_of_the_right_size_stay_as_they_are() -> None:
    views = np.zeros((1, 8, 8, 3), np.uint8)
    assert shrink(views, 8) is views


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_views_stay_flat(value: int) -> None:
    assert (shrink(np.full((1, 37, 37, 3), value, np.uint8), 8) == value).all()
