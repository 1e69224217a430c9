"""What each part is given, and what it finds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bodies import MakeBody, photo_like_jpeg, unique
from benchmarks.record import Check, Table

KNOWN_PICTURES = 50


@dataclass(frozen=True, slots=True)
class Options:
    """What a part may need. ``media`` are folders with JPEGs; ``folder`` is one for the run's own files."""

    seed: int
    media: Sequence[Path]
    folder: Path


@dataclass(frozen=True, slots=True)
class Part:
    """Tables and checks of a part, for the record."""

    tables: tuple[Table, ...]
    checks: tuple[Check, ...] = field(default=())


def known_bodies(target_bytes: int, seed: int) -> MakeBody:
    """The same few bodies again and again: after the first round the service knows all of them."""
    jpeg = photo_like_jpeg(target_bytes, seed)
    bodies = itertools.cycle([unique(jpeg) for _ in range(KNOWN_PICTURES)])
    return lambda: next(bodies)
