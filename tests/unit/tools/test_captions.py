"""The demo model's captions: each is true of the picture that it is said of."""

from __future__ import annotations

import numpy as np

from serve_app.models.demo.draw import random_picture
from tools.demo_model.captions import KINDS, wordings


def test_captions_say_what_is_true_of_the_picture() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        picture = random_picture(rng)
        colour, shape, pair = (kind(picture) for kind in KINDS)
        assert pair == colour + shape
        for label in (colour, shape, pair):
            for wording in wordings(label):
                assert all(said in wording for said in label), wording


def test_wordings_use_the_right_article() -> None:
    assert wordings(("orange", "star"))[0] == "an orange star"
    assert wordings(("red",))[0] == "a red shape"
    assert wordings(("triangle",))[0] == "a triangle"
    assert wordings(())[0] == "a photograph with no shape"
