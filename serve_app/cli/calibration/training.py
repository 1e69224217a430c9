"""``pictwarden train``: a head for a concept of your own, from pictures that show it and pictures that do not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console

from serve_app.admin_api import DENIED_BANK
from serve_app.calibration.pictures import ScoredPicture, digest_of, distinct, resembling
from serve_app.cli.admin.connection import AdminConnection
from serve_app.cli.calibration.corrections import corrected
from serve_app.cli.calibration.measuring import Scores, errors_told, score_recorded
from serve_app.cli.calibration.scorers import HereScorer
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.models.policy_engine import CacheFolder
from serve_app.cli.pictures import pictures_in
from serve_app.cli.report import print_notices
from serve_app.domain import SettingsError
from serve_app.host.extras import how_to_install
from serve_app.models.engine import Engine
from serve_app.models.factory import open_embedding
from serve_app.models.heads import SUFFIX, Head, embedding_labels, write_head
from serve_app.models.passes import warm_for_passes

if TYPE_CHECKING:
    from serve_app.calibration.head_fitting import ErrorRate, FittedHead

_NAME = re.compile("[a-z][a-z0-9_]{0,63}")
_MOST_NAMED = 10


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
    bank: Annotated[
        str | None,
        typer.Option(
            help="With --corrected: the bank of the denied pictures; by default `denied`.", show_default=False
        ),
    ] = None,
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
        # All that can be wrong is found before the model is loaded and any picture is scored.
        file, fit = _output(name, output), _fitting()
        with_concept, without = _places(positive, negative, corrections, bank, errors)
        engine = open_embedding(model, cache_folder)
        warm_for_passes(engine)
        labels = embedding_labels(_width(engine))
        scorer = HereScorer(labels, engine, cache_folder)
        showing, others = (
            distinct(score_recorded(places, labels, scorer, scores, errors).pictures)
            for places in (with_concept, without)
        )
        _require_different(showing, others)
        fitted = _fitted(fit, name, showing, others)
        trained_on = {
            "date": datetime.now(UTC).date().isoformat(),
            "positive_pictures": str(len(showing)),
            "negative_pictures": str(len(others)),
            "pictures_digest": digest_of([*showing, *others]),
        }
        identity = engine.identity
        head = Head(identity.name, identity.weights_digest, fitted.direction, fitted.scale, fitted.bias, trained_on)
        _tell(name, file, write_head(file, head), head, fitted)
        print_notices(identity.notices, errors)


def _output(name: str, given: Path | None) -> Path:
    if not _NAME.fullmatch(name):
        raise SettingsError("the name of a concept starts with a-z, and continues with at most 63 of a-z, 0-9 and _")
    file = given or Path(f"{name}{SUFFIX}")
    if file.exists():
        raise SettingsError(f"{file} is there already: move it away, or choose another name with --output")
    if not os.access(file.absolute().parent, os.W_OK):
        raise SettingsError(f"{file} cannot be written: choose another place with --output")
    return file


def _fitting() -> ModuleType:
    try:
        import safetensors.numpy  # noqa: F401 - what writes the head

        from serve_app.calibration import head_fitting
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"training needs {error.name}, which is not installed: {how_to_install('clip', 'train')}"
        ) from error
    return head_fitting


def _places(
    positive: Path | None, negative: Path | None, corrections: Path | None, bank: str | None, console: Console
) -> tuple[list[Path], list[Path]]:
    """What is scored of each kind: folders, and single files.

    Raises:
        SettingsError: one kind has none, or no picture was corrected.
        AdminError: the service does not tell its lists.
        FileNotFoundError: a folder does not exist.
    """
    if bank is not None and corrections is None:
        raise SettingsError("--bank says which denied pictures count of the folder --corrected, and there is none")
    given = [[each] if each is not None else [] for each in (positive, negative)]
    for place in (*given[0], *given[1]):
        if not place.exists():
            raise FileNotFoundError(place)
    denied: list[Path] = []
    allowed: list[Path] = []
    if corrections is not None:
        files = list(pictures_in([corrections]))
        denied, allowed = corrected(files, bank or DENIED_BANK, AdminConnection())
        found = (
            f"of {len(files):,} files of {corrections}, {len(denied):,} are denied in the bank {bank or DENIED_BANK}, "
            f"and {len(allowed):,} are allowed"
        )
        if not denied and not allowed:
            raise SettingsError(found)
        console.print(found, highlight=False, markup=False, soft_wrap=True)
    with_concept, without = given[0] + denied, given[1] + allowed
    if not with_concept or not without:
        lacking = "--negative" if with_concept else "--positive"
        raise SettingsError(f"pictures of both kinds are needed: name a folder with {lacking}")
    return with_concept, without


def _width(engine: Engine) -> int:
    size_px = engine.identity.image_size_px
    return int(engine.encode(np.zeros((1, size_px, size_px, 3), np.uint8)).shape[1])


def _require_different(showing: Sequence[ScoredPicture], others: Sequence[ScoredPicture]) -> None:
    """Refuse a picture, or its near-duplicate, that is said to show the concept and not to show it."""
    if pairs := resembling(showing, others):
        named = "; ".join(f"{each.name} and {other.name}" for each, other in pairs[:_MOST_NAMED])
        more = f"; and {len(pairs) - _MOST_NAMED:,} more" if len(pairs) > _MOST_NAMED else ""
        raise SettingsError(
            f"remove one of each pair, which are copies or near-duplicates of both kinds: {named}{more}"
        )


def _fitted(
    fitting: ModuleType, name: str, showing: Sequence[ScoredPicture], others: Sequence[ScoredPicture]
) -> FittedHead:
    for kind, pictures in (("show it", showing), ("do not show it", others)):
        if len(pictures) < fitting.LEAST_OF_A_KIND:
            missing = fitting.LEAST_OF_A_KIND - len(pictures)
            typer.echo(f"{len(pictures):,} distinct pictures {kind}: add {missing:,}", err=True)
            raise typer.Exit(ExitCode.NOT_AS_WANTED)
    try:
        fitted: FittedHead = fitting.fit_head(*([each.scores.values for each in some] for some in (showing, others)))
    except fitting.InseparableError as error:
        typer.echo(
            f"this model does not see {name}: pictures that show it score no higher than the others, or by chance",
            err=True,
        )
        raise typer.Exit(ExitCode.NOT_AS_WANTED) from error
    return fitted


def _tell(name: str, file: Path, digest: str, head: Head, fitted: FittedHead) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"written: {file}, for {head.model}@{head.model_digest[:12]}")
    console.print(f"cross-validated: of two pictures, the one that shows it scores higher in {fitted.auc:.1%} of pairs")
    console.print(f"at a threshold of 0.5: {_of(fitted.missed, 'missed')}; {_of(fitted.mistaken, 'mistaken for it')}")
    console.print("that is of pictures such as these: run `pictwarden calibrate` with the policy before it refuses any")
    console.print(
        f"""
model: {json.dumps(head.model, ensure_ascii=False)}
concepts:
  {name}:
    score: head
    file: {json.dumps(file.name, ensure_ascii=False)}  # beside the policy, or a path; on every machine that scores
    digest: {digest}
rules:
  - name: {name.replace("_", "-")}
    verdict: flag
    when: {{concept: {name}, above: 0.5}}"""
    )


def _of(rate: ErrorRate, what: str) -> str:
    return f"{rate.wrong:,} of {rate.pictures:,} {what} ({rate.low:.1%} to {rate.high:.1%} with 95 % confidence)"
