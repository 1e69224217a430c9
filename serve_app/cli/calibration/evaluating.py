"""``pictwarden evaluate``: how often each rule of a policy holds on a folder of pictures, as a card."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.calibration.card import Subject, html, markdown
from serve_app.calibration.pictures import ScoredPicture, digest_of, distinct
from serve_app.calibration.rates import Expected, compare_on, evaluate_on, unknown_names
from serve_app.cli.calibration.measuring import CacheFolder, Here, Measuring, Model, Scores, errors_told
from serve_app.cli.local_service import ScanUrl
from serve_app.domain import SettingsError
from serve_app.policy import Policy, load_policy

_COLUMNS = ("picture", "rules")


def evaluate(
    policy: Annotated[str, typer.Argument(help="A policy file, or shipped:NAME.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Pictures, for which no rule should hold.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with the columns picture (its path in FOLDER) and rules (those that should hold, with "
            "blanks between; empty for none). Pictures that it does not name are left out.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another policy, to compare on the same pictures.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--set", help="The name of the set of pictures on the card; by default that of the folder."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write the card here as Markdown, and beside it as HTML; else it is printed.", show_default=False
        ),
    ] = None,
    here: Here = False,
    model: Model = None,
    cache_folder: CacheFolder = None,
    url: ScanUrl = None,
    scores: Scores = None,
) -> None:
    """Measure how often each rule of a policy holds, with confidence intervals, and write a card.

    The card says beside each number what was measured, and what was not. Near-duplicates count once. The running
    service scores the pictures, after all uploads (PICTWARDEN_ADMIN_SECRETS must be in the environment), or this
    process with --here. No picture is stored.

    Exit code: 0 if the pictures were measured, 2 after an error, 130 after Ctrl-C.
    """
    errors = Console(stderr=True)
    with errors_told(errors):
        first = load_policy(policy)
        second = load_policy(against) if against is not None else None
        expected = _read_labels(labels, [first, *([second] if second else [])]) if labels is not None else None
        measuring = Measuring(here, model, cache_folder, url, scores)
        pictures = measuring.score(folder, first, errors).pictures
        others = measuring.score(folder, second, errors).pictures if second else pictures
        if expected is not None:
            _require_scored(expected, [*pictures, *others])
            pictures, others = ([each for each in some if each.name in expected] for some in (pictures, others))
        common, also_common = _both(pictures, others)
        counted, also_counted = distinct(common), distinct(also_common)
        if not counted:
            where = f"{folder}" if labels is None else f"{folder} that {labels} names"
            raise SettingsError(f"no picture in {where} could be scored{' for both policies' if second else ''}")
        evaluation = evaluate_on(first, counted, expected or {})
        subject = Subject(
            name or folder.resolve().name,
            datetime.now(UTC).date().isoformat(),
            digest_of(counted),
            len(common),
            tuple(dict.fromkeys(each[0].scores.model for each in (counted, also_counted))),
            one_sided=len(pictures) - len(common) + len(others) - len(also_common),
        )
        if second is None:
            card = markdown(subject, evaluation)
        else:
            comparison = compare_on((first, counted), (second, also_counted), expected or {})
            card = markdown(subject, evaluation, evaluate_on(second, also_counted, expected or {}), comparison)
        if output is None:
            typer.echo(card, nl=False)
        else:
            output.write_text(card, "utf-8")
            page = output.with_suffix(".html")
            page.write_text(html(card, first.name), "utf-8")
            typer.echo(f"written: {output}, {page}")


def _read_labels(file: Path, policies: Sequence[Policy]) -> Expected:
    """The rules that should hold for each picture.

    Raises:
        SettingsError: the file is not such a table.
    """
    known = {rule.name for policy in policies for rule in policy.rules}
    expected: dict[str, frozenset[str]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                raise SettingsError(f"{file}: the first line must name the columns {' and '.join(_COLUMNS)}")
            for row in rows:
                picture, rules = (row[column] or "" for column in _COLUMNS)
                unknown = set(rules.split()) - known
                if unknown or not picture or picture in expected:
                    why = f"no rule {min(unknown)!r} in the policy" if unknown else "each picture needs one line"
                    raise SettingsError(f"{file}:{rows.line_num}: {why}")
                expected[picture] = frozenset(rules.split())
    except (csv.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not a CSV file in UTF-8") from error
    return expected


def _require_scored(expected: Expected, pictures: Sequence[ScoredPicture]) -> None:
    """Refuse labels that name a picture without scores.

    Raises:
        SettingsError: they do.
    """
    gone = unknown_names(expected, pictures)
    if gone:
        more = f" and {len(gone) - 1:,} more" if len(gone) > 1 else ""
        raise SettingsError(f"the labels name {gone[0]}{more}, of which there are no scores: remove these lines")


def _both(
    pictures: Sequence[ScoredPicture], others: Sequence[ScoredPicture]
) -> tuple[list[ScoredPicture], list[ScoredPicture]]:
    """The pictures that both have."""
    common = {each.sha256 for each in pictures} & {each.sha256 for each in others}
    first, second = ([each for each in some if each.sha256 in common] for some in (pictures, others))
    return first, second
