"""Scaling on queue delay beside Serve's own policy, which counts requests. A simulation; no service runs.

The queue-delay policy is the real one with the settings of ``serve_config.yaml``; Serve's own asks for as many replicas
as the mean of the ongoing requests over a target, and both wait for the same delays. The replicas are simulated in
steps of 0.1 s: each is a queue before a device with given times of a pass, that refuses a picture whose
wait would be longer than the deadline. A replica costs from its order on and takes pictures when it has started.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from benchmarks.command import OUT, Out, Run, Seed, console
from benchmarks.outcomes import Latencies, Point
from benchmarks.report import Check, Column, Plot, Section, Table
from deployments.autoscaling.queue_delay import Demand, QueueDelaySettings, wanted_replicas
from deployments.autoscaling.replica_stats import ReplicaStats

CONFIG = Path(__file__).parents[1] / "serve_config.yaml"

PASS_MS = "1:49.5,2:79.5,4:84.1,8:151.4,16:216.6,32:274.3,64:620.2"
"""Of ViT-B-32 on two cores, as ADR 6 has it."""

STEP_S = 0.1
_OFFERED_WINDOW_S = 10.0  # the memory of what a replica reports as offered work
_PLOT_EVERY_S = 5.0
_OURS = "queue delay"

_COLUMNS = (
    Column("policy"),
    Column("pictures"),
    Column("p50 ms"),
    Column("p99 ms"),
    Column("refused"),
    Column("refused %", 2),
    Column("replica-hours", 2),
    Column("most replicas"),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load that changes: pictures a second at a moment, in seconds from the start."""

    name: str
    rate: Callable[[float], float]
    duration_s: float


@dataclass(frozen=True, slots=True)
class Device:
    """What a replica has: seconds of a pass by batch size, of its start, and of a picture's deadline."""

    pass_s: Mapping[int, float]
    start_s: float
    deadline_s: float

    @property
    def picture_s(self) -> float:
        """Seconds of a full device per picture."""
        return self.pass_s[max(self.pass_s)] / max(self.pass_s)

    def pass_of_s(self, waiting: float) -> tuple[float, float]:
        """Seconds of the next pass and its pictures, when so many wait."""
        size = next((each for each in sorted(self.pass_s) if each >= waiting), max(self.pass_s))
        return self.pass_s[size], min(max(waiting, 1.0), size)


@dataclass
class Outcome:
    """What became of the pictures, and what the replicas cost."""

    answered_s: list[float] = field(default_factory=list)
    refused: int = 0
    replica_s: float = 0.0
    running: list[Point] = field(default_factory=list)


class Scaler:
    """One deployment's autoscaling: a policy, and the reports, the delays and the bounds that Serve puts around it."""

    def __init__(self, config: Mapping[str, Any], ongoing_per_replica: float | None = None) -> None:
        """``config``: an ``autoscaling_config``; with ``ongoing_per_replica``, Serve's own policy takes its place."""
        self._config = config
        self._ongoing_per_replica = ongoing_per_replica
        self._settings = QueueDelaySettings(**config["policy"]["policy_kwargs"])
        self._since: tuple[int, float] = (0, 0.0)
        self._ongoing: deque[float] = deque(maxlen=round(config["look_back_period_s"] / STEP_S))
        self._reports: Mapping[int, ReplicaStats] = {}
        self._next_report_s = 0.0
        self.target = int(config["min_replicas"])

    def turn(self, now_s: float, stats: Mapping[int, ReplicaStats], ongoing: float) -> int:
        """The wanted number of replicas, from what each running one would report now, and all requests in them."""
        self._ongoing.append(ongoing)
        if now_s >= self._next_report_s:
            self._reports = stats
            self._next_report_s += self._config["metrics_interval_s"]
        least, most = self._config["min_replicas"], self._config["max_replicas"]
        if self._ongoing_per_replica is not None:
            wanted = math.ceil(float(np.mean(self._ongoing)) / self._ongoing_per_replica)
        else:
            known = [each for number, each in self._reports.items() if number in stats]
            demand = Demand(
                target=self.target,
                running=len(stats),
                silent=len(stats) - len(known),
                offered_work=sum(each.offered_work for each in known),
                backlog_s=sum(each.predicted_wait_s for each in known),
                deadline_s=max((each.deadline_s for each in known), default=0.0),
            )
            wanted = wanted_replicas(demand, self._settings, least, most)
        wanted = min(max(wanted, least), most)
        direction = (wanted > self.target) - (wanted < self.target)
        if direction != self._since[0]:
            self._since = (direction, now_s)
        delay_s = self._config["upscale_delay_s" if direction > 0 else "downscale_delay_s"]
        if direction and now_s - self._since[1] >= delay_s:
            self.target, self._since = wanted, (0, now_s)
        return self.target


def bench(
    pass_ms: Annotated[str, typer.Option(help="Of the simulated device: ms of a pass by batch size.")] = PASS_MS,
    start_s: Annotated[float, typer.Option(min=0, help="Seconds until a new replica is ready.")] = 20.0,
    count: Annotated[list[float], typer.Option(help="target_ongoing_requests of Serve's own policy.")] = [64, 16, 4],  # noqa: B006 - Typer copies it
    max_replicas: Annotated[int, typer.Option(min=1, help="The file's bound would hide what a policy wants.")] = 16,
    seed: Seed = 2,
    out: Out = OUT,
) -> None:
    """Compare; exit code 1 if one count, over both loads, refuses fewer pictures with fewer replica-hours."""
    run = Run("autoscaling", seed)
    application = yaml.safe_load(CONFIG.read_text("utf-8"))["applications"][0]
    deadline_s = float(application["args"].get("deadline_s", 8.0))
    device = Device(_given(pass_ms), start_s, deadline_s)
    scaling = next(each["autoscaling_config"] for each in application["deployments"] if each["name"] == "ClipScorer")
    scaling["max_replicas"] = max_replicas
    sections: list[Section] = []
    totals: dict[str, tuple[int, float]] = {}
    for scenario in scenarios(device.picture_s):
        outcomes = {}
        scalers = {**{f"count {each:g}": Scaler(scaling, each) for each in count}, _OURS: Scaler(scaling)}
        for name, scaler in scalers.items():
            with console.status(f"{scenario.name}: {name}"):
                of = outcomes[name] = simulate(scenario, scaler, device, seed)
            refused, hours = totals.get(name, (0, 0.0))
            totals[name] = refused + of.refused, hours + of.replica_s / 3600
        sections.append(_section(scenario, outcomes, device))
    ours = totals.pop(_OURS)
    better = [name for name, each in totals.items() if each[0] <= ours[0] and each[1] <= ours[1]]
    claim = "counts that refuse fewer pictures than queue delay, with fewer replica-hours, over both loads"
    check = Check(claim, ", ".join(better) or "none", "none", not better)
    run.finish("Autoscaling: queue delay beside a count of requests", sections, [check], out)


def scenarios(picture_s: float) -> list[Scenario]:
    """A step to ten times the load, and a day in 72 minutes, in multiples of what one full replica does."""
    return [
        Scenario("step", lambda now_s: (0.5 if now_s < 120 else 5.0) / picture_s, 600.0),
        # The fourth power of a sine: a long night, a steep afternoon, and a peak of a few hours.
        Scenario("day", lambda now_s: (0.3 + 3.7 * math.sin(math.pi * now_s / 4320) ** 4) / picture_s, 4320.0),
    ]


def simulate(scenario: Scenario, scaler: Scaler, device: Device, seed: int) -> Outcome:
    """One policy through one load. The same seed gives the same arrivals to each policy."""
    arrivals, spread = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    outcome = Outcome()
    queues: dict[int, float] = dict.fromkeys(range(scaler.target), 0.0)
    offered = dict.fromkeys(queues, 0.0)
    starting: dict[int, float] = {}
    ordered = len(queues)
    for step in range(round(scenario.duration_s / STEP_S)):
        now_s = step * STEP_S
        for name in [name for name, ready_s in starting.items() if ready_s <= now_s]:
            del starting[name]
            queues[name] = offered[name] = 0.0
        came = arrivals.poisson(scenario.rate(now_s) * STEP_S)
        ongoing = 0.0
        for name, more in zip(queues, spread.multinomial(came, [1 / len(queues)] * len(queues)), strict=True):
            room = max(0, int(device.deadline_s / device.picture_s - queues[name]))
            taken = min(int(more), room)
            outcome.refused += int(more) - taken
            queues[name] += taken
            pass_s, size = device.pass_of_s(queues[name])
            outcome.answered_s += [queues[name] * pass_s / size] * taken
            done = min(queues[name], STEP_S * size / pass_s)
            queues[name] -= done
            ongoing += queues[name] + done * pass_s / STEP_S  # those in a pass, by Little's law
            kept = math.exp(-STEP_S / _OFFERED_WINDOW_S)
            offered[name] = offered[name] * kept + more * device.picture_s / _OFFERED_WINDOW_S
        stats = {
            name: ReplicaStats(queues[name] * device.picture_s, offered[name], device.picture_s, device.deadline_s)
            for name in queues
        }
        target = scaler.turn(now_s, stats, ongoing)
        outcome.replica_s += (len(queues) + len(starting)) * STEP_S
        if step % round(_PLOT_EVERY_S / STEP_S) == 0:
            outcome.running.append((now_s, len(queues)))
        while len(queues) + len(starting) < target:
            starting[ordered] = now_s + device.start_s
            ordered += 1
        while len(queues) + len(starting) > target:  # the newest goes, and works off what it has
            if starting:
                starting.popitem()
            else:
                outcome.replica_s += queues.popitem()[1] * device.picture_s
    return outcome


def _given(pass_ms: str) -> dict[int, float]:
    try:
        pairs = [pair.split(":") for pair in pass_ms.split(",")]
        return {int(size): float(milliseconds) / 1e3 for size, milliseconds in pairs}
    except ValueError as error:
        raise typer.BadParameter(f"{pass_ms!r} is not of the form 1:6,8:15") from error


def _section(scenario: Scenario, outcomes: Mapping[str, Outcome], device: Device) -> Section:
    rows = []
    for name, of in outcomes.items():
        told, pictures = Latencies(of.answered_s), len(of.answered_s) + of.refused
        percentiles = (told.told_percentile_ms(share) for share in (0.5, 0.99))
        cost = (100 * of.refused / pictures, of.replica_s / 3600, int(max(running for _, running in of.running)))
        rows.append((name, pictures, *percentiles, of.refused, *cost))
    work = [(now_s, scenario.rate(now_s) * device.picture_s) for now_s, _ in next(iter(outcomes.values())).running]
    lines = {**{name: of.running for name, of in outcomes.items()}, "offered work, in replicas": work}
    plot = Plot.timeline(f"{scenario.name}: replicas", "running replicas", lines)
    note = f"{scenario.duration_s:.0f} s. Replica-hours count from the order of a replica to its end."
    return Section(scenario.name.capitalize(), note, Table(_COLUMNS, tuple(rows)), (plot,))
