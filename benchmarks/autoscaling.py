"""``make bench-autoscaling``: scaling on queue delay beside Serve's own policy, which counts requests.

A simulation (:mod:`benchmarks.fleet`) with pass times that are measured when it begins, on this machine's engine, or
given as those of another device. Serve's autoscaler is Serve's own code, and so is its policy; the settings are those
of ``serve_config.yaml``. The settings of the queue-delay policy were chosen with seed 1.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from benchmarks import hardware
from benchmarks.autoscaler_comparison import FIRST_REPLICAS, Scenario, play, policies, scenarios
from benchmarks.fleet import FleetOutcome, FleetSettings
from benchmarks.output import finish
from benchmarks.plots import Axis, Mark, Point, timeline
from benchmarks.report import Check, Column, Report, Section, Table
from benchmarks.statistics import Latencies
from benchmarks.target import OUT, Out, Seed, command_line
from serve_app.settings import ModelSettings

CONFIG = Path(__file__).parents[1] / "serve_config.yaml"

_CONTROL_INTERVAL_S = 0.1  # of Serve's controller
_PASS_SHARE_OF_DEADLINE = 0.25  # as ClipScorer gives its engine
_PLOTTED_POINTS = 400

_COLUMNS = (
    Column("policy"),
    Column("pictures"),
    Column("p50 ms"),
    Column("p99 ms"),
    Column("late"),
    Column("refused"),
    Column("dropped"),
    Column("not in time %", 2),
    Column("replica-hours", 2),
    Column("most replicas"),
    Column("changes"),
)

console = Console(highlight=False)


def bench(
    model: Annotated[str, typer.Option(help="Whose passes are measured, on this machine.")] = "random:ViT-B-32",
    pass_ms: Annotated[
        str | None, typer.Option(help="Instead of measuring: ms of a pass by batch size, such as 1:6,8:15,64:90.")
    ] = None,
    start_s: Annotated[float, typer.Option(min=0, help="Seconds until a new replica is ready.")] = 20.0,
    count: Annotated[list[float], typer.Option(help="target_ongoing_requests of Serve's own policy.")] = [16, 4],  # noqa: B006
    max_replicas: Annotated[int, typer.Option(min=1, help="The file's bound would hide what a policy wants.")] = 16,
    seed: Seed = 2,
    out: Out = OUT,
) -> None:
    """Compare; exit code 1 if one count, over both loads, lets fewer pictures down with fewer replica-hours."""
    started_at = datetime.now(UTC)
    _quiet_serve()
    application = yaml.safe_load(CONFIG.read_text("utf-8"))["applications"][0]
    deadline_s = float(application["args"]["deadline_s"])
    settings = FleetSettings(
        pass_s=_given(pass_ms) if pass_ms else _measured(model, application["args"], deadline_s),
        deadline_s=deadline_s,
        max_queued=ModelSettings.max_queued_views,
        start_s=start_s,
        control_interval_s=_CONTROL_INTERVAL_S,
    )
    compared = policies(_scaling_of_the_scorer(application), count, max_replicas)
    sections: list[Section] = []
    played: dict[str, list[FleetOutcome]] = {policy.name: [] for policy in compared}
    for scenario in scenarios(settings.picture_s):
        outcomes = {}
        for policy in compared:
            with console.status(f"{scenario.name}: {policy.name}"):
                outcomes[policy.name] = play(scenario, policy, settings, seed)
        sections.append(_section(scenario, outcomes, settings))
        for name, outcome in outcomes.items():
            played[name].append(outcome)
    totals = {name: _total(outcomes, deadline_s) for name, outcomes in played.items()}
    report = Report(
        title="Autoscaling: queue delay beside a count of requests",
        command=command_line("autoscaling"),
        machine=hardware.facts() | _device(settings, None if pass_ms else model),
        seed=seed,
        started_at=started_at,
        sections=[*sections, _both(totals)],
        checks=[_is_beaten_by_none(totals)],
    )
    raise typer.Exit(finish(report, "autoscaling", out, console))


def _quiet_serve() -> None:
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    # Serve announces environment variables in place of this key, and does not read them yet.
    warnings.filterwarnings("ignore", "The `metrics_interval_s` field", DeprecationWarning)


def _scaling_of_the_scorer(application: Mapping[str, Any]) -> Mapping[str, Any]:
    scaling: Mapping[str, Any] = next(
        each["autoscaling_config"] for each in application["deployments"] if each["name"] == "ClipScorer"
    )
    return scaling


def _given(pass_ms: str) -> dict[int, float]:
    try:
        pairs = [pair.split(":") for pair in pass_ms.split(",")]
        return {int(size): float(milliseconds) / 1e3 for size, milliseconds in pairs}
    except ValueError as error:
        raise typer.BadParameter(f"{pass_ms!r} is not of the form 1:6,8:15") from error


def _measured(model: str, args: Mapping[str, Any], deadline_s: float) -> Mapping[int, float]:
    # torch is not needed where the passes are given.
    from serve_app.models.open import open_engine

    with console.status(f"measuring the passes of {model}"):
        engine = open_engine(model, ("a shape",))
        return engine.warm_up(args["model"]["max_batch_views"], deadline_s * _PASS_SHARE_OF_DEADLINE)


def _device(settings: FleetSettings, model: str | None) -> dict[str, str]:
    passes = ", ".join(f"{size}: {seconds * 1e3:.1f}" for size, seconds in sorted(settings.pass_s.items()))
    return {
        "simulated device": f"{model or 'given'}, {1 / settings.picture_s:.1f} pictures/s when full",
        "ms of a pass by batch size": passes,
        "start of a replica": f"{settings.start_s:g} s",
    }


def _section(scenario: Scenario, outcomes: Mapping[str, FleetOutcome], settings: FleetSettings) -> Section:
    offered = [
        (moment.at_s, scenario.rate(moment.at_s) * settings.picture_s)
        for moment in next(iter(outcomes.values())).moments
    ]
    running = {name: [(each.at_s, float(each.running)) for each in of.moments] for name, of in outcomes.items()}
    delays = {name: [(each.at_s, each.delay_s) for each in of.moments] for name, of in outcomes.items()}
    return Section(
        heading=f"{scenario.name.capitalize()}",
        note=f"{scenario.note} Begins with {FIRST_REPLICAS} replica. Late: after the deadline. Refused: on arrival. "
        "Dropped: after a wait. Replica-hours count from the order of a replica to its end.",
        table=Table(_COLUMNS, tuple(_row(name, of, settings.deadline_s) for name, of in outcomes.items())),
        plots=(
            timeline(
                f"{scenario.name}: replicas",
                Axis("replicas"),
                {name: _thinned(line) for name, line in running.items()} | {"offered work": _thinned(offered)},
            ),
            timeline(
                f"{scenario.name}: predicted queue delay",
                Axis("seconds"),
                {name: _thinned(line) for name, line in delays.items()},
                levels=[Mark(settings.deadline_s, "deadline")],
            ),
        ),
    )


def _row(name: str, outcome: FleetOutcome, deadline_s: float) -> tuple[str | int | float | None, ...]:
    latencies = Latencies(outcome.answered_s)
    pictures = len(outcome.answered_s) + outcome.refused + outcome.dropped
    targets = [moment.target for moment in outcome.moments]
    return (
        name,
        pictures,
        latencies.told_percentile_ms(0.5),
        latencies.told_percentile_ms(0.99),
        _late(outcome, deadline_s),
        outcome.refused,
        outcome.dropped,
        100.0 * _not_in_time(outcome, deadline_s) / pictures,
        outcome.replica_s / 3600,
        max(moment.running for moment in outcome.moments),
        sum(before != after for before, after in pairwise(targets)),
    )


def _late(outcome: FleetOutcome, deadline_s: float) -> int:
    return sum(answered_s > deadline_s for answered_s in outcome.answered_s)


def _not_in_time(outcome: FleetOutcome, deadline_s: float) -> int:
    return outcome.refused + outcome.dropped + _late(outcome, deadline_s)


def _total(outcomes: Sequence[FleetOutcome], deadline_s: float) -> tuple[int, float]:
    """Pictures not answered in time, and replica-hours."""
    missed = sum(_not_in_time(outcome, deadline_s) for outcome in outcomes)
    return missed, sum(outcome.replica_s for outcome in outcomes) / 3600


def _both(totals: Mapping[str, tuple[int, float]]) -> Section:
    columns = (Column("policy"), Column("pictures not in time"), Column("replica-hours", 2))
    rows = tuple((name, missed, hours) for name, (missed, hours) in totals.items())
    return Section(
        "Both loads", "One setting has to serve both: nobody tells it which will come.", Table(columns, rows)
    )


def _is_beaten_by_none(totals: Mapping[str, tuple[int, float]]) -> Check:
    *counts, (ours, (our_missed, our_hours)) = totals.items()
    better = [name for name, (missed, hours) in counts if missed <= our_missed and hours <= our_hours]
    claim = f"settings that let fewer pictures down than {ours}, with fewer replica-hours, over both loads"
    return Check(claim, ", ".join(better) or "none", "none", not better)


def _thinned(points: Sequence[Point]) -> list[Point]:
    return list(points[:: max(1, len(points) // _PLOTTED_POINTS)])


if __name__ == "__main__":
    typer.run(bench)
