"""Passes of a bounded size: a pass takes memory for each of its items, 10 MB with open-nsfw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from serve_app.models.engine import Engine

T = TypeVar("T")

MOST_ITEMS_A_PASS = 32


def in_passes(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in their order, at most as many together as a pass has room for."""
    return (items[start : start + MOST_ITEMS_A_PASS] for start in range(0, len(items), MOST_ITEMS_A_PASS))


def encode(engine: Engine, views: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What an engine of views says of each, ``(views, labels)``, in as few passes as have room for them."""
    return np.concatenate([engine.encode(np.stack(some)) for some in in_passes(views)])


def warm_for_passes(engine: Engine) -> None:
    """Make an engine ready for passes of any size up to :data:`MOST_ITEMS_A_PASS`.

    A device of its own must have captured its passes. The CPU needs nothing, and would take a minute for it.
    """
    if engine.uploads_ahead:
        engine.warm_up(MOST_ITEMS_A_PASS, math.inf)
