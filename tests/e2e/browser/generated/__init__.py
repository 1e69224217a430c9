"""Files of every type that pict-rs sends, made when they are asked for: one module for each type."""

from __future__ import annotations

import functools
from collections.abc import Callable

from tests.e2e.browser.generated import apng, avif, gif, jpeg, jxl, png, video, webp


def generated_files() -> dict[str, Callable[[], bytes]]:
    """Name of each file: what makes its bytes, once."""
    return {
        name: functools.cache(make)
        for module in (apng, avif, gif, jpeg, jxl, png, webp, video)
        for name, make in module.files()
    }
