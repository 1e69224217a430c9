"""What the commands that convert models share: the photographs to quantise with, and a bar for the stages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from serve_app.cli.pictures import pictures_in
from serve_app.comparison import views_of
from serve_app.domain import SettingsError
from serve_app.media import MediaLimits
from serve_app.models.openvino.calibration import CALIBRATION_VIEWS, Calibration

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())


def calibration_with(photographs: Path | None) -> Callable[[int], Calibration]:
    """Gives, for the side of a view in pixels, the calibration with that folder's pictures; the drawn one without."""

    def calibrate(size_px: int) -> Calibration:
        if photographs is None:
            return Calibration.drawn()
        views = [
            each[0] for each in islice(views_of(pictures_in([photographs]), size_px, MediaLimits()), CALIBRATION_VIEWS)
        ]
        if not views:
            raise SettingsError(f"no picture to calibrate with in {photographs}")
        return Calibration.of(np.stack(views))

    return calibrate


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar during the block. The function that it is given takes a stage and its share done, 0..1."""
    console = Console(stderr=True)
    # Where nothing can move, a bar would leave an empty line.
    with Progress(*_COLUMNS, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("opening", total=1.0)
        yield lambda stage, share: progress.update(bar, description=stage, completed=share)
