"""What ``calibrate``, ``evaluate`` and ``train`` share: scoring folders, with progress, and on from an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.cli.admin.connection import AdminConnection, AdminError
from serve_app.cli.calibration.scored_folder import ScoredFolder, score_folder
from serve_app.cli.calibration.scorers import HereScorer, Scorer, ServiceScorer
from serve_app.cli.calibration.scores_file import ScoresFile
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.interrupt import interruptible
from serve_app.cli.local_service import NO_SERVICE, known_url
from serve_app.cli.models.policy_engine import engine_of
from serve_app.cli.pictures import pictures_in
from serve_app.cli.progress import progress_of
from serve_app.domain import PictwardenError, SettingsError
from serve_app.host.state_folder import state_folder
from serve_app.policy import Policy

_SCORES_FILE = "scores.jsonl"

Here = Annotated[bool, typer.Option("--here", help="Score in this process, and not with the running service.")]
Model = Annotated[
    str | None, typer.Option(help="With --here: as model.source in the configuration; by default the policy's model.")
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(help="With --here: as model.cache_folder in the configuration.", show_default=False),
]
Scores = Annotated[
    Path | None,
    typer.Option(
        help="The file of scores with which an interrupted command continues; by default scores.jsonl in the state "
        "folder. It is as sensitive as the pictures: delete it when you are done.",
        show_default=False,
    ),
]


class InterruptedRunError(Exception):
    """Ctrl-C ended the scoring; what was scored is recorded."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """Where scores come from, and where they are recorded."""

    here: bool
    model: str | None
    cache_folder: Path | None
    url: str | None
    scores: Path | None

    def score(self, folder: Path, policy: Policy, console: Console) -> ScoredFolder:
        """Score the pictures of ``folder`` for the labels of ``policy``.

        Raises:
            InterruptedRunError: after Ctrl-C.
            AdminError, PictwardenError, OSError: nothing can be scored.
        """
        scored = score_recorded([folder], policy.labels, self._scorer(policy), self.scores, console)
        scored.require_same_models(policy.models)
        return scored

    def _scorer(self, policy: Policy) -> Scorer:
        if self.here:
            engine = engine_of(policy, self.model, self.cache_folder)
            return HereScorer(policy.labels, engine, self.cache_folder)
        for option, given in (("--model", self.model), ("--cache-folder", self.cache_folder)):
            if given is not None:
                raise SettingsError(f"{option} is for a model of --here: the running service has its own")
        url = self.url or known_url()
        if url is None:
            raise SettingsError(f"{NO_SERVICE}; or score here with --here")
        return ServiceScorer(policy, url, AdminConnection())


def score_recorded(
    places: Sequence[Path], labels: tuple[str, ...], scorer: Scorer, scores: Path | None, console: Console
) -> ScoredFolder:
    """Score pictures, with progress; those that were scored before are taken from the file ``scores``.

    Args:
        places: folders and single pictures; names are below the first.
        labels: those that are wanted, in the order of the columns.
        scorer: scores what is not recorded.
        scores: by default the file in the state folder.
        console: shows the progress, and what was left out.

    Raises:
        InterruptedRunError: after Ctrl-C.
        AdminError, PictwardenError, OSError: nothing can be scored.
    """
    paths = list(pictures_in(places))
    file = scores or state_folder() / _SCORES_FILE
    with (
        ScoresFile.open(file) as recorded,
        interruptible() as stop,
        progress_of(console, "pictures", len(paths)) as show,
    ):
        scored = score_folder(paths, places[0], labels, scorer, recorded, stop, show)
        if stop.is_set():
            raise InterruptedRunError
    _tell(scored, file, console)
    if not scored.pictures:
        raise SettingsError(f"no picture in {places[0]} could be scored")
    return scored


@contextmanager
def errors_told(console: Console) -> Iterator[None]:
    """Print why a command cannot go on, and end it."""
    try:
        yield
    except InterruptedRunError as error:
        _say(console, "interrupted: run the same command to continue")
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    except FileNotFoundError as error:
        _say(console, f"no such file or folder: {error.filename or error}")
        raise typer.Exit(ExitCode.ERRORS) from error
    except OSError as error:
        _say(console, f"{error.filename or 'a file'}: {error.strerror}")
        raise typer.Exit(ExitCode.ERRORS) from error
    except (AdminError, PictwardenError) as error:
        _say(console, str(error))
        raise typer.Exit(ExitCode.ERRORS) from error


def _tell(scored: ScoredFolder, file: Path, console: Console) -> None:
    lines = [f"{count:,} files left out: {why}" for why, count in scored.skipped.most_common()]
    if scored.recorded:
        lines.append(f"{scored.recorded:,} pictures already had scores in {file}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _say(console: Console, line: str) -> None:
    # A file's name may hold brackets, which are Rich's markup, and must stay whole to be copied.
    console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
