"""What the commands that convert models share: the photographs to quantise with, and a bar for the steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from serve_app.cli.pictures import pictures_in
from serve_app.composition.comparison import views_of
from serve_app.domain import SettingsError
from serve_app.media import MediaLimits
from serve_app.models.openvino.quantisation_views import VIEW_COUNT, QuantisationViews

QuantiseWith = Annotated[
    Path | None,
    typer.Option(
        "--quantise-with",
        "--calibrate",  # its name in 0.1.0
        help="A folder of photographs to quantise with, instead of drawn pictures.",
        show_default=False,
    ),
]

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())


def quantisation_views_from(photographs: Path | None) -> Callable[[int], QuantisationViews]:
    """Gives, for the side of a view in pixels, what to quantise with: that folder's pictures; drawn ones without."""

    def give_views(size_px: int) -> QuantisationViews:
        if photographs is None:
            return QuantisationViews.drawn()
        views = [each[0] for each in islice(views_of(pictures_in([photographs]), size_px, MediaLimits()), VIEW_COUNT)]
        if not views:
            raise SettingsError(f"no picture to quantise with in {photographs}")
        return QuantisationViews.of(np.stack(views))

    return give_views


@contextlib.contextmanager
def steps() -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar during the block. The function that it is given takes a step and its share done, 0..1."""
    console = Console(stderr=True)
    # Where nothing can move, a bar would leave an empty line.
    with Progress(*_COLUMNS, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("opening", total=1.0)
        yield lambda step, share: progress.update(bar, description=step, completed=share)
