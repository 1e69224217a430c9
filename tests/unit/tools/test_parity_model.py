"""The random model of `make parity`: its cosines are where thresholds are, or nothing would be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.parity.model import IMAGE_SIZE_PX, Spread, make_model
from tools.parity.theirs import Interrogator

PROMPTS = ["a circle", "a square", "a red star", "a drawing of a heart", "nothing at all", "a photograph"]


@pytest.mark.slow
def test_cosines_are_spread_as_wanted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3)
    pictures = [Image.fromarray(rng.integers(0, rng.integers(32, 256), shape, np.uint8)) for _ in range(24)]
    folder = tmp_path / "random-parity"
    folder.mkdir()
    make_model(folder, pictures, PROMPTS, Spread(0.1, 0.06), seed=1)

    model = Interrogator(folder)
    cosines = np.array([model.similarities(model.image_to_features(picture), PROMPTS) for picture in pictures])

    assert cosines.mean() == pytest.approx(0.1, abs=0.03)
    assert cosines.std() == pytest.approx(0.06, abs=0.03)
