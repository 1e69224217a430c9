"""``pictwarden train``: a head for a concept of one's own, from pictures that show it and pictures that do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console

from serve_app.calibration.pictures import ScoredPicture, digest_of, distinct
from serve_app.cli.admin_connection import AdminConnection
from serve_app.cli.corrections import corrected
from serve_app.cli.measuring import Scores, errors_told, score_recorded
from serve_app.cli.pictures import pictures_in
from serve_app.cli.policy_engine import CacheFolder
from serve_app.cli.report import print_notices
from serve_app.cli.scorers import HereScorer
from serve_app.domain import HEAD_DIGEST_CHARS, SettingsError
from serve_app.models.engine import Engine
from serve_app.models.factory import open_embedding
from serve_app.models.heads import SUFFIX, Head, embedding_labels, write_head
from serve_app.policy import weights_digest

if TYPE_CHECKING:
    from serve_app.calibration.head_fitting import ErrorRate, FittedHead

_NAME = re.compile("[a-z][a-z0-9_]{0,63}")
_NOT_TRAINED = 1


def train(
    name: Annotated[str, typer.Argument(help="Of the concept: a-z, 0-9 and _.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            help="As model.source in the configuration: the model whose embedding it reads.", show_default=False
        ),
    ],
    positive: Annotated[
        Path | None, typer.Option(help="A folder of pictures that show the concept.", show_default=False)
    ] = None,
    negative: Annotated[Path | None, typer.Option(help="A folder of pictures that do not.", show_default=False)] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrected",
            help="A folder of which those pictures count, too, that people have put on the running service's lists: "
            "denied ones show the concept, allowed ones do not.",
            show_default=False,
        ),
    ] = None,
    bank: Annotated[str, typer.Option(help="With --corrected: the bank of the denied pictures.")] = "denied",
    output: Annotated[
        Path | None, typer.Option(help="The file to write; by default NAME.safetensors.", show_default=False)
    ] = None,
    cache_folder: CacheFolder = None,
    scores: Scores = None,
) -> None:
    """Train a head: a linear classifier over the embedding of a model, for a concept of your own.

    For lawful concepts, such as gore, hate symbols or the spam of your instance. Nobody may collect abuse material,
    for this purpose neither. At least 20 distinct pictures of each kind are needed, and 200 are better. This process
    scores them. No picture is stored.

    Exit code: 0 if the head was written, 1 if there are too few pictures or the model cannot tell them apart, 2 after
    an error, 130 after Ctrl-C.
    """
    errors = Console(stderr=True)
    with errors_told(errors):
        file = _output(name, output)
        engine = open_embedding(model, cache_folder)
        labels = embedding_labels(_width(engine))
        scorer = HereScorer(labels, engine, cache_folder)
        with_concept, without = (
            distinct(score_recorded(places, labels, scorer, scores, errors).pictures)
            for places in _places(positive, negative, corrections, bank)
        )
        _require_different(with_concept, without)
        fitted = _fitted(name, with_concept, without)
        identity = engine.identity
        trained_on = {
            "date": datetime.now(UTC).date().isoformat(),
            "positive_pictures": str(len(with_concept)),
            "negative_pictures": str(len(without)),
            "pictures_digest": digest_of([*with_concept, *without]),
        }
        head = Head(identity.name, weights_digest(identity), fitted.direction, fitted.scale, fitted.bias, trained_on)
        digest = write_head(file, head)
        _tell(name, file, digest, head, fitted)
        print_notices(identity.notices, errors)


def _output(name: str, given: Path | None) -> Path:
    if not _NAME.fullmatch(name):
        raise SettingsError("the name of a concept starts with a-z, and continues with at most 63 of a-z, 0-9 and _")
    file = given or Path(f"{name}{SUFFIX}")
    if file.exists():
        raise SettingsError(f"{file} is there already: move it away, or choose another name with --output")
    return file


def _places(
    positive: Path | None, negative: Path | None, corrections: Path | None, bank: str
) -> tuple[list[Path], list[Path]]:
    """What is scored of each kind: folders, and single files.

    Raises:
        SettingsError: one kind has none.
        AdminError: the service does not tell its lists.
    """
    denied, allowed = corrected(pictures_in([corrections]), bank, AdminConnection()) if corrections else ([], [])
    with_concept = [*filter(None, [positive]), *denied]
    without = [*filter(None, [negative]), *allowed]
    if not with_concept or not without:
        lacking = "--negative" if with_concept else "--positive"
        raise SettingsError(f"pictures of both kinds are needed: name a folder with {lacking}, or use --corrected")
    return with_concept, without


def _width(engine: Engine) -> int:
    size_px = engine.identity.image_size_px
    return int(engine.encode(np.zeros((1, size_px, size_px, 3), np.uint8)).shape[1])


def _require_different(with_concept: Sequence[ScoredPicture], without: Sequence[ScoredPicture]) -> None:
    """Refuse a picture, or its near-duplicate, that is said to show the concept and not to show it."""
    both = len(with_concept) + len(without) - len(distinct([*with_concept, *without]))
    if both:
        of_digest = {each.sha256: each.name for each in with_concept}
        same = [each.name for each in without if each.sha256 in of_digest]
        named = f": {same[0]}, for instance" if same else ""
        raise SettingsError(
            f"{both:,} pictures are in both kinds, or resemble one of the other kind{named}. Remove them from one"
        )


def _fitted(name: str, with_concept: Sequence[ScoredPicture], without: Sequence[ScoredPicture]) -> FittedHead:
    try:
        from serve_app.calibration.head_fitting import LEAST_OF_A_KIND, InseparableError, fit_head
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"training needs {error.name}, which is not installed: install the extra pictwarden[train]"
        ) from error
    for kind, pictures in (("show it", with_concept), ("do not show it", without)):
        if len(pictures) < LEAST_OF_A_KIND:
            missing = LEAST_OF_A_KIND - len(pictures)
            typer.echo(f"{len(pictures):,} distinct pictures {kind}: add {missing:,}", err=True)
            raise typer.Exit(_NOT_TRAINED)
    try:
        return fit_head([each.scores.values for each in with_concept], [each.scores.values for each in without])
    except InseparableError as error:
        typer.echo(f"this model does not see {name}: pictures that show it score no higher than the others", err=True)
        raise typer.Exit(_NOT_TRAINED) from error


def _tell(name: str, file: Path, digest: str, head: Head, fitted: FittedHead) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"written: {file}, for {head.model}@{head.model_digest[:12]}")
    console.print(f"cross-validated: a picture that shows it scores higher than one that does not in {fitted.auc:.1%}")
    console.print(f"at a threshold of 0.5: {_of(fitted.missed, 'missed')}; {_of(fitted.mistaken, 'mistaken for it')}")
    console.print("that is of pictures such as these: run `pictwarden calibrate` with the policy before it refuses any")
    console.print(
        f"""
model: {head.model}
concepts:
  {name}:
    score: head
    file: {file.name}  # beside the policy, or a path; on every machine that scores
    digest: {digest[:HEAD_DIGEST_CHARS]}
rules:
  - name: {name.replace("_", "-")}
    verdict: flag
    when: {{concept: {name}, above: 0.5}}"""
    )


def _of(rate: ErrorRate, what: str) -> str:
    return f"{rate.wrong:,} of {rate.pictures:,} {what} ({rate.low:.1%} to {rate.high:.1%} with 95 % confidence)"
