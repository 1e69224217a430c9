"""What a calibration found, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.calibration.binomial import upper_bound
from serve_app.calibration.fitting import Plan, fit, holding, nearest
from serve_app.calibration.margins import FloatArray
from serve_app.calibration.pictures import ScoredPicture
from serve_app.calibration.plot import Curve, save_plot
from serve_app.cli.report import print_notices, printable
from serve_app.host.extras import how_to_install
from serve_app.policy import PolicyText

_NEAREST = 10


def print_missing(planned: Plan, files: int) -> None:
    """Say how many pictures are missing."""
    Console(highlight=False).print(
        f"{_counted(planned.pictures, files)} cannot prove a rate of at most {planned.budget:.3%} with "
        f"{planned.confidence:.0%} confidence: add {planned.missing:,} distinct pictures, or choose a larger budget",
        soft_wrap=True,
    )


def print_calibration(
    source: PolicyText,
    planned: Plan,
    files: int,
    pictures: Sequence[ScoredPicture],
    margins: Mapping[str, FloatArray],
    moved: Mapping[str, Decimal],
) -> None:
    """A table of the rules, what a move has lost, and the pictures nearest to each line."""
    console = Console(highlight=False)
    console.print(
        f"{source.policy}: {_counted(planned.pictures, files)}; at most {planned.allowed:,} may be false positives of "
        f"a rule, which bounds its rate at {planned.bound:.3%} with {planned.confidence:.0%} confidence",
        markup=False,
        soft_wrap=True,
    )
    console.print(_rules(planned, margins, moved))
    console.print("the bound is of each rule by itself, and on pictures such as these", soft_wrap=True)
    for rule, by in moved.items():
        for line in source.lost(rule, by) if by else ():
            console.print(
                f"rule {rule}: the condition in line {line} holds for nothing any more, since its threshold is at the "
                "end of the scores that there are",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    for rule, by in fit(margins, source.groups, planned.allowed or 0, may_lower=True).items():
        if by < 0:
            said = (
                "fall, since the budget has room: it holds for more pictures than before"
                if moved[rule] < 0
                else "stay, although the budget has room: --may-lower lets them fall"
            )
            console.print(f"rule {rule}: its thresholds {said}", markup=False, soft_wrap=True)
    for rule, by in moved.items():
        console.print(_nearest(rule, margins[rule], float(by), pictures))
    print_notices((notice for each in pictures for notice in each.scores.model.notices), console)


def save_curves(
    file: Path,
    source: PolicyText,
    margins: Mapping[str, FloatArray],
    moved: Mapping[str, Decimal],
    planned: Plan,
    errors: Console,
) -> None:
    """Write the plot, or say what it needs.

    Raises:
        OSError: it cannot be written.
    """
    curves = [Curve(rule, margins[rule], float(by), source.only_threshold(rule)) for rule, by in moved.items()]
    try:
        save_plot(file, curves, planned.budget, planned.confidence)
    except ModuleNotFoundError:
        said = f"no plot: it needs matplotlib, which is not installed: {how_to_install('calibrate')}"
    else:
        said = f"plot: {file}"
    errors.print(said, highlight=False, markup=False, soft_wrap=True)


def _counted(distinct: int, files: int) -> str:
    copies = files - distinct
    what = "copy or near-duplicate" if copies == 1 else "copies and near-duplicates"
    left_out = f" ({copies:,} {what} left out)" if copies else ""
    return f"{distinct:,} distinct pictures{left_out}"


def _rules(planned: Plan, margins: Mapping[str, FloatArray], moved: Mapping[str, Decimal]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", overflow="fold")
    for heading in ("false positives", "upper bound", "moved by", "false positives now", "upper bound now"):
        table.add_column(heading, justify="right")
    for rule, by in moved.items():
        before, after = holding(margins[rule]), holding(margins[rule], float(by))
        table.add_row(
            Text(rule),
            f"{before:,}",
            f"{upper_bound(before, planned.pictures, planned.confidence):.3%}",
            f"{by:+.6f}",
            f"{after:,}",
            f"{planned.bound:.3%}",
        )
    return table


def _nearest(rule: str, margins: FloatArray, moved: float, pictures: Sequence[ScoredPicture]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(f"nearest to the new line of {rule}"), overflow="fold")
    table.add_column("margin", justify="right", no_wrap=True)
    for place in nearest(margins, moved, _NEAREST):
        # As texts: a file's name may hold brackets, which are Rich's markup in a plain string.
        table.add_row(Text(printable(pictures[place].name)), f"{margins[place] - moved:+.6f}")
    return table
