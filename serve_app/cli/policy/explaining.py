"""``pictwarden policy explain``: which conditions of a policy hold for a picture, and how far each is from its line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.models.policy_engine import CacheFolder, engine_of
from serve_app.cli.pictures import pictures_in
from serve_app.cli.report import print_notices
from serve_app.composition.decoding import Decode, decode_for
from serve_app.domain import ConfigurationError, Deadline, OnTruncated, UnscannedError, ViewPlace
from serve_app.media import MediaLimits
from serve_app.models.engine import Engine
from serve_app.models.with_faces import scores_of
from serve_app.policy import ExplainedRule, Policy, evaluate, explain, load_policy

# Nobody waits for an answer: this only ends a decode that never would.
_DECODE_DEADLINE_S = 60.0


def policy_explain(
    file: Annotated[str, typer.Argument(help="A policy file, or shipped:NAME.", show_default=False)],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.", show_default=False)],
    model: Annotated[
        str | None, typer.Option(help="As model.source in the configuration; by default the policy's model.")
    ] = None,
    cache_folder: CacheFolder = None,
) -> None:
    """Show which conditions of a policy hold for pictures, on which views, and how far each is from its line.

    Scans in this process, without a running service, and stores nothing.

    Exit code: 0 if every picture was scanned, 1 if one could not be, 2 if nothing could be scanned.
    """
    errors = Console(stderr=True)
    try:
        policy, files = load_policy(file), list(pictures_in(pictures))
        engine, decode = engine_of(policy, model, cache_folder), decode_for(policy.labels, cache_folder)
    except (ConfigurationError, FileNotFoundError) as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    scanned = [_explain(each, policy, engine, decode, errors) for each in files]
    if any(scanned):
        print_notices(engine.identity.notices, Console())
    if not all(scanned):
        raise typer.Exit(ExitCode.NOT_AS_WANTED if any(scanned) else ExitCode.ERRORS)


def _explain(file: Path, policy: Policy, engine: Engine, decode: Decode, errors: Console) -> bool:
    """Print one picture's tables; False if it could not be scanned."""
    try:
        deadline = Deadline.after(_DECODE_DEADLINE_S)
        views = decode(file.read_bytes(), engine.identity.image_size_px, MediaLimits(), deadline, OnTruncated.REFUSE)
    except (UnscannedError, OSError) as error:
        errors.print(f"{file}: not scanned: {error}", style="yellow", highlight=False, markup=False, soft_wrap=True)
        return False
    (scores,) = scores_of(engine, views)
    judgement = evaluate(policy, scores)
    console = Console(highlight=False)
    console.print(Text(f"{file}: {judgement.verdict}: {judgement.message}"), style="bold", soft_wrap=True)
    for rule in explain(policy, scores):
        console.print(_table(rule, views.places))
    return True


def _table(rule: ExplainedRule, places: Sequence[ViewPlace]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    held = "holds" if rule.holds else "does not hold"
    table.add_column(Text(f"{rule.name} ({rule.verdict}): {held}"), overflow="fold")
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("on view", overflow="fold")
    table.add_column(f"holds on, of {len(places)}", overflow="fold")
    for each in rule.conditions:
        style = "bold" if each.views else "dim"
        cells = (
            "  " * (each.depth + 1) + each.text,
            "unknown" if each.margin is None else f"{each.margin:+.4f}",
            _place(each.closest_view, places),
            ", ".join(str(view + 1) for view in each.views) or "none",
        )
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _place(view: int, places: Sequence[ViewPlace]) -> str:
    """The view's number from 1, and what it shows."""
    place = places[view]
    left, top, right, bottom = (round(100 * share) for share in place.box)
    frame = f"frame {place.frame}, " if any(each.frame for each in places) else ""
    area = "whole" if place.box == (0.0, 0.0, 1.0, 1.0) else f"{left}..{right} % across, {top}..{bottom} % down"
    return f"{view + 1} ({frame}{area})"
