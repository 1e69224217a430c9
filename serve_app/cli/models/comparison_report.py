"""A comparison of two engines, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.composition.comparison import Comparison, Side


def as_dict(comparison: Comparison, engines: tuple[str, str]) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {"engines": list(engines), "agreement": comparison.agreement, **asdict(comparison)}


def print_comparison(comparison: Comparison, engines: tuple[str, str]) -> None:
    """Print the summary, a table of score differences, and a table of pictures with different verdicts."""
    console = Console(highlight=False)
    reference, candidate = engines
    faster = comparison.reference_s / comparison.candidate_s if comparison.candidate_s else 0.0
    console.print(
        f"{comparison.pictures:,} pictures compared ({comparison.skipped:,} files skipped: not pictures); "
        f"{comparison.agreement:.2%} of the verdicts agree",
        soft_wrap=True,
    )
    console.print(
        f"a picture takes {comparison.reference_s * 1e3:.1f} ms with {reference}, "
        f"{comparison.candidate_s * 1e3:.1f} ms with {candidate}: {faster:.1f} times as fast"
    )
    console.print(_differences(comparison))
    if comparison.disagreements:
        console.print(_disagreements(comparison, engines))


def _differences(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("scores differ by", overflow="fold")
    table.add_column("at most", justify="right", no_wrap=True)
    table.add_column("on average", justify="right", no_wrap=True)
    rows = {"cosines of all labels": comparison.cosines, **comparison.concepts}
    for name, difference in rows.items():
        table.add_row(Text(name), f"{difference.largest:.4f}", f"{difference.mean:.4f}")
    return table


def _disagreements(comparison: Comparison, engines: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("judged differently", overflow="fold")
    for engine in engines:
        table.add_column(engine, overflow="fold")
    for each in comparison.disagreements:
        # As texts: a file's name may hold brackets, which are Rich's markup in a plain string.
        table.add_row(*(Text(cell) for cell in (each.picture, _said(each.reference), _said(each.candidate))))
    return table


def _said(side: Side) -> str:
    margin = f" ({side.margin:+.3f})" if side.margin is not None else ""
    return f"{side.verdict} {side.rule or '-'}{margin}"
