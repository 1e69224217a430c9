"""``pictwarden model compare``: two engines over a folder of pictures; a quantised one's agreement is recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.models.comparison_report import as_dict, print_comparison
from serve_app.cli.models.model_progress import QuantiseWith, quantisation_views_from, steps
from serve_app.cli.models.policy_engine import CacheFolder
from serve_app.cli.pictures import pictures_in
from serve_app.composition.comparison import Comparison, compare
from serve_app.domain import ConfigurationError, PolicyError, SettingsError, needs_faces
from serve_app.media import MediaLimits
from serve_app.models.agreement import Agreement, Agreements, shortfall
from serve_app.models.cache_folder import default_cache_folder
from serve_app.models.engine import Engine
from serve_app.models.ensemble import Part
from serve_app.models.factory import OPENVINO_INT8, beside_classifiers, open_engine, open_quantised
from serve_app.models.openvino.engine import OpenVinoEngine
from serve_app.policy import Policy, load_policy

_PRECISIONS = {"torch": "auto", "torch-fp32": "fp32", "torch-bf16": "bf16"}
_ENGINES = (*_PRECISIONS, OPENVINO_INT8)


def model_compare(
    folder: Annotated[Path, typer.Argument(help="Pictures such as your instance receives.", show_default=False)],
    model: Annotated[str, typer.Option(help="The model, as model.source in the configuration.", show_default=False)],
    policy: Annotated[str, typer.Option(help="A policy file, or shipped:NAME.", show_default=False)],
    engines: Annotated[tuple[str, str], typer.Option(help=f"Reference and candidate, of {', '.join(_ENGINES)}.")] = (
        "torch",
        OPENVINO_INT8,
    ),
    quantise_with: QuantiseWith = None,
    cache_folder: CacheFolder = None,
    cpu_threads: Annotated[int | None, typer.Option(min=1, help="As model.cpu_threads in the configuration.")] = None,
    accept_lower: Annotated[
        bool, typer.Option("--accept-lower", help="Let the candidate start even with too low an agreement.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the verdicts, scores and speed of two engines, and record their agreement.

    The engine openvino-int8 starts only with a recorded agreement.

    Exit code: 0 if the agreement suffices, 1 if it does not, 2 if nothing could be compared.
    """
    errors = Console(stderr=True)
    try:
        for each in engines:
            if each not in _ENGINES:
                raise SettingsError(f"unknown engine {each!r}: choose one of {', '.join(_ENGINES)}")
        pictures, judge = list(pictures_in([folder])), policy_with_prompts(policy)
        reference, candidate = (_open(each, model, judge, quantise_with, cache_folder, cpu_threads) for each in engines)
        whole = (
            beside_classifiers(Part(each, judge.prompts), judge.labels, "cpu", cpu_threads, cache_folder)
            for each in (reference, candidate)
        )
        comparison = _compare_with_progress(pictures, judge, *whole)
        if comparison.pictures == 0:
            raise SettingsError(f"no pictures in {folder} ({comparison.skipped:,} files skipped: not pictures)")
    except (ConfigurationError, FileNotFoundError) as error:
        # A message may hold brackets, which are Rich's markup, and commands that must stay whole to be copied.
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    if as_json:
        typer.echo(json.dumps(as_dict(comparison, engines)))
    else:
        print_comparison(comparison, engines)
    if isinstance(candidate, OpenVinoEngine) and engines[0] == "torch":
        record = Agreement(
            conversion=candidate.conversion,
            model=candidate.identity.name,
            policy=judge.name,
            policy_digest=judge.digest,
            pictures=comparison.pictures,
            agreement=comparison.agreement,
            compared_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            accepted_lower=accept_lower,
            computed_in=candidate.computed_in,
        )
        file = Agreements(cache_folder or default_cache_folder()).record(record)
        errors.print(f"recorded in {file}", highlight=False, markup=False, soft_wrap=True)
    lacking = shortfall(comparison.pictures, comparison.agreement)
    if lacking is None:
        return
    errors.print(f"the agreement does not suffice: {lacking}", style="yellow", highlight=False, soft_wrap=True)
    if accept_lower:
        errors.print("accepted all the same (--accept-lower); every start will log it", style="yellow")
        return
    raise typer.Exit(ExitCode.NOT_AS_WANTED)


def policy_with_prompts(source: str) -> Policy:
    """A policy to compare engines of a CLIP model with.

    Raises:
        PolicyError: it is wrong, classifiers alone score for it, one of them looks at faces, or it has heads.
    """
    policy = load_policy(source)
    if not policy.prompts:
        raise PolicyError(f"policy {policy.name} has no prompts, and engines are compared by what they say of these")
    if policy.heads:
        raise PolicyError(
            f"policy {policy.name} has heads, and engines are compared by prompts alone: compare with the policy "
            "without these concepts, or convert without --policy"
        )
    if any(map(needs_faces, policy.labels)):
        # Nobody looks for faces here: their scores would be unknown, and so the verdicts alike whatever the engine.
        raise PolicyError(
            f"policy {policy.name} asks how old faces look, which is not compared: compare with the policy without "
            "that, or convert without --policy"
        )
    return policy


def _open(
    engine: str,
    model: str,
    policy: Policy,
    quantise_with: Path | None,
    cache_folder: Path | None,
    cpu_threads: int | None,
) -> Engine:
    if engine != OPENVINO_INT8:
        return open_engine(model, policy.prompts, "cpu", _PRECISIONS[engine], cpu_threads, "torch")
    with steps() as on_progress:
        give_views = quantisation_views_from(quantise_with)
        return open_quantised(model, policy.prompts, give_views, cache_folder, cpu_threads, on_progress)[0]


def _compare_with_progress(pictures: list[Path], policy: Policy, reference: Engine, candidate: Engine) -> Comparison:
    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("comparing", total=len(pictures))
        return compare(pictures, policy, reference, candidate, MediaLimits(), lambda: progress.advance(bar))
