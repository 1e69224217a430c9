"""What the reports of all commands have in common: notices, and names and scores as texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console


def print_notices(notices: Iterable[str], console: Console) -> None:
    """Print what has to be known of the models that scored, once each."""
    for notice in sorted(set(notices)):
        console.print(f"NOTE: {notice}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def printable(name: str) -> str:
    """The name as text, which a file's name on Linux need not be."""
    return name.encode("utf-8", "replace").decode("utf-8")


def told_scores(scores: Mapping[str, float | None], decimals: int) -> str:
    """Concept scores on one line."""
    return " ".join(
        f"{concept}={'unknown' if score is None else format(score, f'.{decimals}f')}"
        for concept, score in scores.items()
    )
