"""What each part is given, and what it finds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bodies import MakeBody, photo_like_jpeg, unique
from benchmarks.record import Check, Table
from benchmarks.servers import Home

KNOWN_PICTURES = 50

Part = tuple[list[Table], list[Check]]
"""Tables and checks of a part, for the record."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a part may need. ``media`` are folders with JPEGs; ``folder`` is one for the run's own files."""

    seed: int
    media: Sequence[Path]
    folder: Path

    def home(self, name: str) -> Home:
        """A new one, for a service of the part."""
        return Home.within(self.folder / name)


def known_bodies(target_bytes: int, seed: int) -> MakeBody:
    """The same few bodies again and again: after the first round the service knows all of them."""
    jpeg = photo_like_jpeg(target_bytes, seed)
    bodies = itertools.cycle([unique(jpeg) for _ in range(KNOWN_PICTURES)])
    return lambda: next(bodies)
