"""``pictwarden model convert``: a model for OpenVINO, which runs without torch, and how far it agrees with torch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.models.comparing import policy_with_prompts
from serve_app.cli.models.model_progress import QuantiseWith, quantisation_views_from, steps
from serve_app.cli.models.policy_engine import CacheFolder
from serve_app.cli.pictures import pictures_in
from serve_app.composition.comparison import outcomes, views_of
from serve_app.domain import ConfigurationError, SettingsError
from serve_app.media import MediaLimits
from serve_app.models.agreement import LEAST_PICTURES, TOP_LABEL, Agreement, Agreements
from serve_app.models.cache_folder import default_cache_folder
from serve_app.models.demo.views import DRAWN_LABELS, drawn_views
from serve_app.models.engine import Engine
from serve_app.models.ensemble import Part
from serve_app.models.factory import beside_classifiers, convert_model, open_engine, open_unrecorded
from serve_app.policy import Policy

# Other drawings than those that int8 is quantised with.
_SEED = 20_261


class Target(StrEnum):
    """What a model is converted for."""

    OPENVINO = "openvino"


class Precision(StrEnum):
    """Of the image tower."""

    BF16 = "bf16"
    INT8 = "int8"


def model_convert(
    model: Annotated[str, typer.Argument(help="As model.source in the configuration.", show_default=False)],
    to: Annotated[Target, typer.Option(help="What runs the converted model.", show_default=False)],
    precision: Annotated[Precision, typer.Option(help="Of the image tower.")] = Precision.BF16,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder to make. Without it, in the cache, where `model.engine: auto` finds it."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Compare verdicts of this policy: a file, or `shipped:NAME`.", show_default=False)
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Compare with the pictures of this folder, instead of drawn ones.")
    ] = None,
    quantise_with: QuantiseWith = None,
    cache_folder: CacheFolder = None,
    cpu_threads: Annotated[int | None, typer.Option(min=1, help="As model.cpu_threads in the configuration.")] = None,
    accept_lower: Annotated[
        bool, typer.Option("--accept-lower", help="Record that the model may be used however low the agreement is.")
    ] = False,
) -> None:
    """Convert both towers of a model, compare it with torch in float32, and record how far they agree.

    Exit code 0 if the agreement is enough, 1 if it is not, 2 if nothing was converted or compared.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        judge = policy_with_prompts(policy) if policy is not None else None
        with steps() as on_progress:
            folder = convert_model(
                model, precision.value, quantisation_views_from(quantise_with), cache_folder, output, on_progress
            )
        errors.print(f"converted: {folder}")
        record = _compare(folder, model, judge, pictures, cache_folder, cpu_threads, accept_lower)
    except (ConfigurationError, FileNotFoundError) as error:
        errors.print(str(error), style="red")
        raise typer.Exit(ExitCode.ERRORS) from error
    file = Agreements(output or cache_folder or default_cache_folder()).record(record)
    typer.echo(_said(record))
    errors.print(f"recorded in {file}")
    if record.shortfall is None:
        return
    errors.print(f"not enough: {record.shortfall}", style="yellow")
    if not accept_lower:
        raise typer.Exit(ExitCode.NOT_AS_WANTED)
    errors.print("accepted as it is (--accept-lower)", style="yellow")


def _compare(
    folder: Path,
    model: str,
    policy: Policy | None,
    pictures: Path | None,
    cache_folder: Path | None,
    cpu_threads: int | None,
    accept_lower: bool,
) -> Agreement:
    labels = policy.labels if policy else DRAWN_LABELS
    prompts = policy.prompts if policy else labels
    candidate = open_unrecorded(folder, prompts, cpu_threads)
    identity, conversion, computed_in = candidate.identity, candidate.conversion, candidate.computed_in
    whole = beside_classifiers(Part(candidate, prompts), labels, "cpu", cpu_threads, cache_folder)
    views = _views(pictures, whole.identity.image_size_px)
    converted = _outcomes(whole, f"comparing, {conversion.precision}", views, policy)
    # One engine at a time is in memory.
    del candidate, whole

    def in_torch(precision: str) -> list[object]:
        engine = open_engine(model, labels, "cpu", precision, cpu_threads, "torch", cache_folder=cache_folder)
        return _outcomes(engine, f"comparing, torch in {precision}", views, policy)

    exact = in_torch("fp32")
    torch_bf16 = None
    if conversion.precision == "bf16" and computed_in == "bf16":
        torch_bf16 = _share_alike(in_torch("bf16"), exact)
    return Agreement(
        conversion=conversion,
        model=identity.name,
        policy=policy.name if policy else TOP_LABEL,
        policy_digest=policy.digest if policy else TOP_LABEL,
        pictures=len(views),
        agreement=_share_alike(converted, exact),
        compared_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        accepted_lower=accept_lower,
        computed_in=computed_in,
        torch_bf16=torch_bf16,
    )


def _views(pictures: Path | None, size_px: int) -> list[NDArray[np.uint8]]:
    """The views of each picture to compare with."""
    if pictures is None:
        return [view[np.newaxis] for view in drawn_views(_SEED, LEAST_PICTURES, size_px)]
    views = list(views_of(pictures_in([pictures]), size_px, MediaLimits()))
    if not views:
        raise SettingsError(f"no picture to compare with in {pictures}")
    return views


def _outcomes(engine: Engine, stage: str, views: Sequence[NDArray[np.uint8]], policy: Policy | None) -> list[object]:
    with steps() as on_progress:
        said: list[object] = []
        for each in outcomes(engine, views, policy):
            said.append(each)
            on_progress(stage, len(said) / len(views))
        return said


def _share_alike(one: Sequence[object], other: Sequence[object]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def _said(record: Agreement) -> str:
    what = "top labels" if record.policy == TOP_LABEL else "verdicts"
    own = f"; {record.torch_bf16:.2%} of those of torch in bf16" if record.torch_bf16 is not None else ""
    compared = f"{record.pictures:,} pictures compared (computed in {record.computed_in})"
    return f"{compared}: {record.agreement:.2%} of the {what} are those of torch in float32{own}"
