"""``make bench-cluster``: what more nodes bring, and what an uploader notices when one of them is killed.

The model is one of a fixed cost (``fake:400ms``): a pass takes that long and no processor, so that the nodes can stand
on one machine, each a real ``ray start`` with a scorer, a preprocessor and an ingress replica of its own. What is
measured is the graph, its queues and its front end; what a model costs is measured elsewhere.

With ``--address`` the nodes are those of a cluster that stands already, one scorer on each: nothing is started there
but the application, and no node is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import hardware, load
from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.nodes import Nodes
from benchmarks.outcomes import latencies
from benchmarks.output import finish
from benchmarks.pictures import Pictures, Size
from benchmarks.plots import Axis, lines
from benchmarks.recovery import RECOVERY_NOTE, Struck, recovery_checks, recovery_sections, recovery_table
from benchmarks.report import Check, Column, Report, Section, Table, at_least, at_most
from benchmarks.served import Replicas, Service, served, standing
from benchmarks.strike import killed_node, strike
from benchmarks.tables import Measured, steady_goodput_per_s, validity
from benchmarks.target import OUT, Out, Seed, command_line, require_goodput

LEAST_SCALING = 3.4
_SCALED_NODES = 4

_NODES_OF_THE_KILL = 3
_LEAST_RATE_SHARE = 0.9

_BATCHES_WAITING = 4
"""Batches' worth of connections per scorer: one is computed, one waits, and two are on their way or unevenly spread."""

_SCALING_NOTE = (
    "Connections that never rest, in proportion to the nodes, each of which has one replica of each deployment. A pass "
    "takes a fixed time and no processor; everything else takes processor time, which nodes on one machine share."
)
_REPOSITORY = Path(__file__).parents[1]

console = Console(highlight=False)


def bench(
    size: Annotated[Size, typer.Option(help="Of the pictures.")] = Size.KB_20,
    model: Annotated[str, typer.Option(help="A fake one; its name has the milliseconds of a pass.")] = "fake:400ms",
    largest_batch: Annotated[int, typer.Option(min=1, help="Views in one pass at most.")] = 4,
    nodes: Annotated[list[int] | None, typer.Option(min=1, help="Sizes of the cluster; 1, 2 and 4.")] = None,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of the load at each size.")] = 15.0,
    kill: Annotated[bool, typer.Option(help="Kill a node of three as well.")] = True,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of three nodes' rate, while one is killed.")] = 0.5,
    before_s: Annotated[float, typer.Option(min=1, help="Seconds of load ahead of the kill.")] = 10.0,
    after_s: Annotated[float, typer.Option(min=1, help="Seconds of load behind it.")] = 60.0,
    away_s: Annotated[float, typer.Option(min=0, help="Seconds until another node joins.")] = 15.0,
    address: Annotated[str | None, typer.Option(help="Of a cluster that stands; run this on its head.")] = None,
    seed: Seed = 1,
    out: Out = OUT,
) -> None:
    """Measure; exit code 1 if the nodes do not add up, or if somebody noticed the node that was killed."""
    started_at, machine = datetime.now(UTC), hardware.facts()
    console.print(f"{hardware.describe()}; the load is made on the same cores; seed {seed}")
    make_body = Pictures(size, seed).bodies()
    sizes = sorted(nodes or [1, 2, 4])
    saturated: dict[int, Measured] = {}
    struck: list[Struck] = []
    restored: list[Measured] = []

    def saturate(service: Service, count: int) -> Measured:
        service.deploy(Replicas.one_per_node(count))
        connections = count * largest_batch * _BATCHES_WAITING
        console.print(f"{count} nodes, {connections} connections")
        return Measured(f"{count} nodes", asyncio.run(load.saturate(service.url, make_body, connections, duration_s)))

    with _cluster(address, model, largest_batch) as (cluster, service):
        for count in sorted({*sizes, *([_NODES_OF_THE_KILL] if kill and cluster else [])}):
            if cluster:
                cluster.add(count - len(cluster.alive))
            saturated[count] = saturate(service, count)
            require_goodput(_rate_per_s(saturated[count]), saturated[count].load.outcomes, console)
            if kill and cluster and count == _NODES_OF_THE_KILL:
                name = f"a node of three is killed, another one joins after {away_s:.0f} s"
                console.print(name)
                arrivals_s = poisson_arrivals_s(share * _rate_per_s(saturated[count]), before_s + after_s, seed)
                fault = killed_node(cluster, Replicas.one_per_node(count), name, away_s)
                struck.append(asyncio.run(strike(service, fault, make_body, arrivals_s, before_s)))
                restored.append(saturate(service, count))
    shown = {count: each for count, each in saturated.items() if count in sizes}
    sections = [_scaling(shown)]
    checks = _scaling_checks(shown)
    if struck:
        rate_share = _rate_per_s(restored[0]) / _rate_per_s(saturated[_NODES_OF_THE_KILL])
        note = f"{RECOVERY_NOTE}\nThree nodes do {rate_share:.2f} of what they did before one was killed and replaced."
        sections += [Section("A node is killed", note, recovery_table(struck)), *recovery_sections(struck)]
        checks += recovery_checks(struck[0])
        checks += [at_least("three nodes' rate afterwards, of that before", rate_share, _LEAST_RATE_SHARE, "", 2)]
        checks += validity([Measured(each.fault, each.load) for each in struck])
    elif address:
        sections.append(
            Section("A node is killed", "Not done: the nodes of a cluster that stands are not ours to kill.")
        )
    report = Report("Cluster", command_line("cluster"), machine, seed, started_at, sections, checks)
    raise typer.Exit(finish(report, "cluster", out, console))


@contextlib.contextmanager
def _cluster(address: str | None, model: str, largest_batch: int) -> Iterator[tuple[Nodes | None, Service]]:
    """Nodes of our own with a service to be deployed, or that service on a cluster that stands, without its nodes."""
    if address is None:
        with served(model, largest_batch, _REPOSITORY) as (nodes, service):
            yield nodes, service
    else:
        with standing(address, model, largest_batch) as service:
            yield None, service


def _rate_per_s(measured: Measured) -> float:
    return steady_goodput_per_s(measured.load)


def _scaling(saturated: Mapping[int, Measured]) -> Section:
    fewest = min(saturated)
    columns = (
        Column("nodes"),
        Column("pictures/s", 1),
        Column("times the rate of the fewest", 2),
        Column("p50 ms"),
        Column("p99 ms"),
        Column("failed"),
        Column("generator, cores", 2),
    )
    rows = tuple(
        (
            str(count),
            _rate_per_s(each),
            _rate_per_s(each) / _rate_per_s(saturated[fewest]),
            *(latencies(each.load.outcomes).told_percentile_ms(share) for share in (0.5, 0.99)),
            sum(outcome.is_failed for outcome in each.load.outcomes),
            each.load.client_cores,
        )
        for count, each in saturated.items()
    )
    rates = [(float(count), _rate_per_s(each)) for count, each in saturated.items()]
    ideal = [(float(count), count / fewest * _rate_per_s(saturated[fewest])) for count in saturated]
    plot = lines("Rate by nodes", "nodes", Axis("pictures a second"), {"measured": rates, "in proportion": ideal})
    return Section("Scaling", _SCALING_NOTE, Table(columns, rows), (plot,))


def _scaling_checks(saturated: Mapping[int, Measured]) -> list[Check]:
    if not {1, _SCALED_NODES} <= set(saturated):
        return []
    scaling = _rate_per_s(saturated[_SCALED_NODES]) / _rate_per_s(saturated[1])
    failed = sum(outcome.is_failed for each in saturated.values() for outcome in each.load.outcomes)
    return [
        at_least(f"scaling, 1 to {_SCALED_NODES} nodes", scaling, LEAST_SCALING, "x", 2),
        at_most("requests that failed while all nodes were there", failed, 0, ""),
    ]


if __name__ == "__main__":
    typer.run(bench)
