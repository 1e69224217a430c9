"""What can be said of a drawn picture: captions of several kinds, each in several wordings.

Within one kind two captions are either the same statement in other words or contradict each other. So the statement
(the *label*), not the wording, decides which captions are true of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from serve_app.models.demo.draw import COLOURS, SHAPES, DrawnPicture

NO_SHAPE: Final = "a photograph with no shape"
_NO_SHAPE: Final = (NO_SHAPE, "a picture with no shape", "a background with no shape", "no shape")

_COLOUR: Final = ("{a_colour} shape", "a picture of {a_colour} shape", "{colour}", "something {colour}")
_SHAPE: Final = ("a {shape}", "a picture of a {shape}", "a drawn {shape}", "{shape}")
_PAIR: Final = ("{a_colour} {shape}", "a picture of {a_colour} {shape}", "one {colour} {shape}", "{colour} {shape}")

Label = tuple[str, ...]
"""What a caption states, as words; empty for "there is no shape"."""


def _colour(picture: DrawnPicture) -> Label:
    return () if picture.colour is None else (picture.colour,)


def _shape(picture: DrawnPicture) -> Label:
    return () if picture.shape is None else (picture.shape,)


def _pair(picture: DrawnPicture) -> Label:
    return _colour(picture) + _shape(picture)


KINDS: Final[tuple[Callable[[DrawnPicture], Label], ...]] = (_colour, _shape, _pair)
"""The kinds of caption: each gives the label that is true of a picture."""


def wordings(label: Label) -> list[str]:
    """Every wording of a label, the plainest first."""
    if not label:
        return list(_NO_SHAPE)
    colour = next((word for word in label if word in COLOURS), "")
    shape = next((word for word in label if word in SHAPES), "")
    templates = _PAIR if colour and shape else _COLOUR if colour else _SHAPE
    a_colour = f"an {colour}" if colour == "orange" else f"a {colour}"
    return [template.format(colour=colour, a_colour=a_colour, shape=shape) for template in templates]


def word(rng: np.random.Generator, label: Label) -> str:
    """One wording of a label: the plainest, which policies use, in half of all cases."""
    known = wordings(label)
    return known[0] if rng.random() < 0.5 else known[int(rng.integers(len(known)))]
