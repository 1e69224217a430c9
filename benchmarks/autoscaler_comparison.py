"""Autoscaling policies on the same arrivals and the same simulated replicas: what is compared, and one run of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.demand import Rate, arrivals_s, day, step
from benchmarks.fleet import Fleet, FleetOutcome, FleetSettings, Replica
from benchmarks.serve_autoscaler import ServeAutoscaler, SimulatedTime, serve_runs_on

FIRST_REPLICAS = 1

# What serve_config.yaml said of the scorer while it used Serve's own policy.
_COUNT_BEFORE = {"target_ongoing_requests": 64, "upscale_delay_s": 5}
_OWN_KEYS = ("policy", "metrics_interval_s", "look_back_period_s", "upscale_delay_s")


@dataclass(frozen=True, slots=True)
class Policy:
    """A name, and the ``autoscaling_config`` that stands for it."""

    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load that changes. Rates are in pictures per second, moments in seconds."""

    name: str
    note: str
    rate: Rate
    most_per_s: float
    duration_s: float


def policies(config: Mapping[str, Any], counts: Sequence[float], max_replicas: int) -> list[Policy]:
    """Serve's own policy in several settings, and last the one that ``config`` names.

    Args:
        config: the scorer's ``autoscaling_config`` in ``serve_config.yaml``.
        counts: values of ``target_ongoing_requests`` that Serve's own policy is tried with; else it has ``config``.
        max_replicas: instead of the file's, so that it is the policies that decide.
    """
    ours = {**config, "max_replicas": max_replicas}
    before = {key: value for key, value in ours.items() if key not in _OWN_KEYS} | _COUNT_BEFORE
    default = {key: value for key, value in ours.items() if key != "policy"}
    return [
        Policy("count 64 (before)", before),
        *(Policy(f"count {count:g}", {**default, "target_ongoing_requests": count}) for count in counts),
        Policy("queue delay", ours),
    ]


def scenarios(picture_s: float) -> list[Scenario]:
    """The two loads, in multiples of what one full replica does.

    Args:
        picture_s: seconds of a full device per picture.
    """
    before, after, step_at_s, step_s = 0.5, 5.0, 120.0, 600.0
    least, most, day_s = 0.3, 4.0, 4320.0
    return [
        Scenario(
            "step",
            f"From {before:g} to {after:g} replicas' worth of pictures at {step_at_s:.0f} s; {step_s:.0f} s in all.",
            step(before / picture_s, after / picture_s, step_at_s),
            after / picture_s,
            step_s,
        ),
        Scenario(
            "day",
            f"From {least:g} to {most:g} replicas' worth and back, 24 hours in {day_s / 3600:g}: the load "
            f"moves {86400 / day_s:.0f} times as fast as in life, starts and delays of replicas do not.",
            day(least / picture_s, most / picture_s, day_s),
            most / picture_s,
            day_s,
        ),
    ]


def play(scenario: Scenario, policy: Policy, settings: FleetSettings, seed: int) -> FleetOutcome:
    """One policy through one load. The same seed gives the same arrivals to each policy."""
    arrivals = arrivals_s(scenario.rate, scenario.most_per_s, scenario.duration_s, seed)
    clock = SimulatedTime()
    began_s = clock.now_s
    with serve_runs_on(clock):
        autoscaler = ServeAutoscaler(policy.config, clock)

        def wanted(now_s: float, running: Mapping[int, Replica]) -> int:
            clock.now_s = began_s + now_s
            return autoscaler.turn(running)

        return Fleet(settings, wanted, seed).run(arrivals, scenario.duration_s, FIRST_REPLICAS)
