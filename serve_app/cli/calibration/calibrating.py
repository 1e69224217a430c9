"""``pictwarden calibrate``: thresholds under a budget of false positives, measured on an admin's own pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.calibration.fitting import Plan, fit, holding, plan
from serve_app.calibration.margins import rule_margins
from serve_app.calibration.pictures import ScoredPicture, digest_of, distinct
from serve_app.cli.calibration.calibration_report import print_calibration, print_missing, save_curves
from serve_app.cli.calibration.measuring import CacheFolder, Here, Measuring, Model, Scores, errors_told
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.local_service import ScanUrl
from serve_app.domain import ModelIdentity, PolicyError, SettingsError
from serve_app.policy import (
    CalibratedModel,
    CalibratedRule,
    Calibration,
    PolicyText,
    parse_policy,
    section_text,
    text_of_policy,
    with_section,
)

_MOST_BUDGET = 0.5
_HEADER = "# Calibrated on "


def calibrate(
    policy: Annotated[str, typer.Argument(help="A policy file, or shipped:NAME.", show_default=False)],
    folder: Annotated[
        Path,
        typer.Argument(
            help="Pictures that no rule should hold for, such as your instance receives.", show_default=False
        ),
    ],
    budget: Annotated[str, typer.Option(help="The most false positives of each rule, as 0.5% or 0.005.")] = "0.5%",
    output: Annotated[
        Path | None,
        typer.Option(
            help="The policy file to write; by default NAME.calibrated.yaml beside POLICY.", show_default=False
        ),
    ] = None,
    may_lower: Annotated[
        bool,
        typer.Option(
            "--may-lower", help="Let thresholds fall where the budget has room: rules then hold for more pictures."
        ),
    ] = False,
    here: Here = False,
    model: Model = None,
    cache_folder: CacheFolder = None,
    url: ScanUrl = None,
    scores: Scores = None,
) -> None:
    """Raise the thresholds of each rule until its rate of false positives lies under the budget, with 95 % confidence.

    Every picture of the folder counts as one that no rule should hold for; near-duplicates count once. All thresholds
    of a rule move by one margin. A budget of 0.5% needs 598 distinct pictures. The running service scores them, after
    all uploads (PICTWARDEN_ADMIN_SECRETS must be in the environment), or this process with --here. No picture is
    stored. POLICY itself never changes.

    Exit code: 0 if the policy was written, 1 if there are too few pictures, 2 after an error, 130 after Ctrl-C.
    """
    errors = Console(stderr=True)
    with errors_told(errors):
        share, file = _share(budget), _output(policy, output)
        source = PolicyText(text_of_policy(policy), policy)
        _require_same_heads(source, file)
        scored = Measuring(here, model, cache_folder, url, scores).score(folder, source.policy, errors)
        pictures = distinct(scored.pictures)
        planned = plan(len(pictures), share)
        if planned.allowed is None:
            print_missing(planned, len(scored.pictures))
            raise typer.Exit(ExitCode.NOT_AS_WANTED)
        margins = rule_margins(source.policy, pictures, with_rounding=True)
        moved = fit(margins, source.groups, planned.allowed, may_lower=may_lower)
        text = _calibrated_text(source, policy, moved, pictures, planned)
        with file.open("x", encoding="utf-8", newline="") as stream:
            stream.write(text)
        print_calibration(source, planned, len(scored.pictures), pictures, margins, moved)
        typer.echo(f"written: {file}")
        save_curves(file.with_suffix(".svg"), source, margins, moved, planned, errors)


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= _MOST_BUDGET:
        raise typer.BadParameter("a budget is written as 0.5% or 0.005, and is at most 50%", param_hint="--budget")
    return share


def _output(policy: str, given: Path | None) -> Path:
    if given is None:
        in_package, _, name = policy.partition(":")
        path = Path(f"{name}.yaml") if in_package in ("shipped", "installed") else Path(policy)
        given = path.with_name(f"{path.name.removesuffix('.yaml').removesuffix('.calibrated')}.calibrated.yaml")
    if given.exists():
        raise SettingsError(f"{given} is there already: move it away, or choose another name with --output")
    return given


def _require_same_heads(source: PolicyText, file: Path) -> None:
    """Refuse a file from whose folder the policy would name other files of heads."""
    there = source.named_from(file).heads
    for label, head in source.policy.heads.items():
        if there[label].file.resolve() != head.file.resolve():
            raise SettingsError(
                f"a policy in {file} would look for the head {there[label].file}, and it is {head.file}: choose an "
                f"--output in the folder of the policy, or write the whole path of the head in the policy"
            )


def _calibrated_text(
    source: PolicyText, name: str, moved: Mapping[str, Decimal], pictures: Sequence[ScoredPicture], planned: Plan
) -> str:
    """The policy with other thresholds, which is judged once more on the same pictures before anybody relies on it."""
    today = datetime.now(UTC).date().isoformat()
    text = source.with_margins(moved)
    while text.startswith(_HEADER):
        text = text.partition("\n")[2]
    text = f"{_HEADER}{today} by `pictwarden calibrate`: see `calibration` below. Other remarks are older.\n{text}"
    policy = parse_policy(text, name)
    counts = {rule: holding(margins) for rule, margins in rule_margins(policy, pictures, with_rounding=True).items()}
    allowed = planned.allowed or 0
    over = [rule for rule, count in counts.items() if count > allowed]
    if over:
        raise PolicyError(
            f"rule '{over[0]}' still holds for {counts[over[0]]:,} pictures, and {allowed:,} are allowed: its "
            f"thresholds stop at the ends of their scores. Rewrite its conditions or its prompts"
        )
    calibration = Calibration(
        date=today,
        policy_digest=policy.digest,
        models=_models(policy.models, pictures[0].scores.model),
        pictures=planned.pictures,
        pictures_digest=digest_of(pictures),
        confidence=planned.confidence,
        rules=tuple(
            CalibratedRule(rule, planned.budget, allowed, counts[rule], planned.bound, float(moved[rule]))
            for rule in counts
        ),
    )
    return with_section(text, section_text(calibration), name)


def _models(names: Sequence[str], identity: ModelIdentity) -> tuple[CalibratedModel, ...]:
    return tuple(CalibratedModel(each.name, each.weights_digest) for each in identity.each if each.name in names)
