"""How long uploaders wait while the running service scans a storage, and how fast such a scan is by itself.

Starts its own service, with ViT-B-32 and random weights: true speed, no meaning. Uploads arrive as a Poisson process at
half of what the service can do: alone, beside ``pictwarden storage scan`` as a process at full rate, alone, beside it.
The scan goes through the service's background lane, over a folder of JPEGs as large as the uploads. No bytes are sent
twice: each run of the scan goes on where the one before was interrupted. Then the scan alone, against the bare pass of
the model (:mod:`benchmarks.capacity` says what that is), as the uploads are.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import bare_pass, hardware, load
from benchmarks.bare_pass import BarePass, Rates
from benchmarks.bodies import MakeBody, Size, pictures_of
from benchmarks.capacity import LEAST_AGREEMENT, agreement
from benchmarks.checks import load_table, validity
from benchmarks.command import Connections, Out, Run, Seed, console, give_up, measured_capacity
from benchmarks.decision_parts.services import serving
from benchmarks.load import Target
from benchmarks.outcomes import Load, joined, p99_ms
from benchmarks.processes import scorer_environment
from benchmarks.record import Check, Table, at_least, at_most, table
from benchmarks.servers import REPOSITORY, Home, NotServedError, Way
from benchmarks.storage_process import RunningScan, ScanFailedError, running_scan

MOST_TIMES_P99 = 1.3
LEAST_OF_UPLOADS = 0.9
"""The efficiency of a scan over that of uploads."""

_MODEL = "random:ViT-B-32"
_POLICY = REPOSITORY / "benchmarks" / "policies" / "random-vit-b-32.yaml"
_SIZE = Size.KB_200
_SHARE = 0.5
_TURNS = 2
_IN_A_FOLDER = 1_000
_WARM_FILES = 16
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Rated:
    """What the scan did: pictures a second beside the uploads, and alone; and whether pictures were left at the end."""

    beside_per_s: float
    alone_per_s: float
    is_left: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """All loads, the scan, and the bare pass before and after."""

    saturated: Load
    alone: Sequence[Load]
    beside: Sequence[Load]
    scan: Rated
    bare: Sequence[Rates]

    @property
    def times_p99(self) -> float:
        """p99 beside the scan over p99 without it."""
        return p99_ms(self.beside) / p99_ms(self.alone)

    @property
    def bare_per_s(self) -> float:
        """Pictures a second of the bare pass at its best batch size."""
        return bare_pass.best_of(self.bare)[1].views_per_s


def bench(
    way: Annotated[Way, typer.Option(help="How the service runs.")] = Way.ONE_PROCESS,
    model: Annotated[str, typer.Option(help="model.source of the service.")] = _MODEL,
    policy: Annotated[Path, typer.Option(help="A policy for it.")] = _POLICY,
    pictures: Annotated[int, typer.Option(min=1, help="JPEGs in the folder: enough that the scan lasts.")] = 2_500,
    threads: Annotated[int, typer.Option(min=1, max=64, help="--threads of the command.")] = 10,
    connections: Connections = None,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for each number of connections.")] = 10.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each of the four loads.")] = 60.0,
    scan_s: Annotated[float, typer.Option(min=1, help="Seconds of the scan alone.")] = 30.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if uploads wait longer, are refused or late, or the scan is slow; 2 if it fails."""
    run = Run("storage_uploads", seed, out)
    with tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as temporary:
        folder, home = Path(temporary) / "pictures", Home.within(Path(temporary) / "service")
        with console.status(f"drawing {pictures:,} pictures"):
            fill(folder, pictures, pictures_of(_SIZE, seed + 1))
        args = {"model": {"source": model}, "policy": str(policy.absolute())}
        try:
            with serving(home, args, way) as service:
                environment = scorer_environment(service.process)
                limits = {name: environment[name] for name in hardware.CPU_FEATURES if name in environment}
                alone = BarePass(model, environment=limits)
                bare = [_bare(alone)]
                target = Target(service.url, pictures_of(_SIZE, seed), service=service.process)
                saturated = measured_capacity(target, capacity_s, connections)

                def scanning(measure: Callable[[RunningScan], float]) -> float:
                    arguments, config = ("--threads", str(threads)), home.folder / "serve.yaml"
                    with running_scan(folder, config, home.folder, *arguments, url=service.url) as scan:
                        if not scan.wait_for(_WARM_FILES):
                            raise ScanFailedError(f"the scan ended: give more --pictures ({scan.said})")
                        found = measure(scan)
                        is_left.append(scan.is_running)
                        scan.interrupt()
                        return found

                is_left: list[bool] = []
                loads = _by_turns(target, _SHARE * saturated.goodput_per_s, duration_s, seed, scanning)
                with console.status("the scan alone"):
                    alone_per_s = scanning(lambda scan: _rate_per_s(scan, scan_s))
                bare.append(_bare(alone))
        except (NotServedError, ScanFailedError) as error:
            give_up(str(error))
    quiet, beside, beside_per_s = loads
    measured = Measured(saturated, quiet, beside, Rated(beside_per_s, alone_per_s, all(is_left)), bare)
    note = f"{model}, {way}, {_SIZE} pictures; uploads at {_SHARE:.0%} of {saturated.goodput_per_s:.1f} pictures/s."
    told = [joined("uploads alone", *quiet), joined("uploads beside a scan", *beside)]
    run.finish("Uploads beside a scan", [load_table("Uploads", told, note), scan_table(measured)], checks_of(measured))


def fill(folder: Path, pictures: int, make_body: MakeBody) -> None:
    """So many different pictures, at most 1,000 in a folder."""
    for number in range(pictures):
        within = folder / f"{number // _IN_A_FOLDER:03}"
        within.mkdir(parents=True, exist_ok=True)
        (within / f"{number:06}.jpg").write_bytes(make_body())


def checks_of(measured: Measured) -> list[Check]:
    """What is wanted."""
    loads, scan = [*measured.alone, *measured.beside], measured.scan
    unscanned = sum(len(each.outcomes) - each.scanned for each in loads)
    first, second = measured.bare
    return [
        at_most("uploads: p99 beside a scan ÷ p99 without", measured.times_p99, MOST_TIMES_P99, digits=2),
        at_most("uploads that were not scanned", unscanned, 0),
        at_most("uploads that were late", sum(each.late for each in loads), 0),
        at_least("runs of the scan that lasted as long as they were measured", float(scan.is_left), 1),
        at_least(
            "efficiency of the scan alone ÷ of uploads",
            scan.alone_per_s / measured.saturated.goodput_per_s,
            LEAST_OF_UPLOADS,
            digits=2,
        ),
        at_least("the bare pass before and after, lower ÷ higher", agreement(first, second), LEAST_AGREEMENT, digits=2),
        *validity(loads),
    ]


def scan_table(measured: Measured) -> Table:
    """Rates, and shares of the bare pass."""
    scan, bare_per_s = measured.scan, measured.bare_per_s
    rates = {
        "uploads at capacity": measured.saturated.goodput_per_s,
        "the scan alone": scan.alone_per_s,
        "the scan beside uploads": scan.beside_per_s,
        "the bare pass": bare_per_s,
    }
    columns = {"": 0, "pictures/s": 1, "÷ bare pass": 2}
    return table("Pictures a second", columns, ((name, rate, rate / bare_per_s) for name, rate in rates.items()))


def _bare(wanted: BarePass) -> Rates:
    with console.status(f"the bare pass of {wanted.source}"):
        return bare_pass.measure(wanted)[0]


def _by_turns(
    target: Target,
    rate_per_s: float,
    duration_s: float,
    seed: int,
    scanning: Callable[[Callable[[RunningScan], float]], float],
) -> tuple[list[Load], list[Load], float]:
    """Uploads alone and beside the scan, by turns, and the pictures a second of the scan beside them."""
    alone: list[Load] = []
    beside: list[Load] = []

    def send(name: str) -> Load:
        arrivals_s = load.poisson_arrivals_s(rate_per_s, duration_s, 100 * seed + len(alone) + len(beside))
        return load.open_loop(target, arrivals_s, name)

    def send_beside(scan: RunningScan) -> float:
        beside.append(send("uploads beside a scan"))
        began_s = beside[-1].started_s
        return scan.run.between_s(began_s, began_s + beside[-1].window_s) / beside[-1].window_s

    rates = []
    for turn in range(_TURNS):
        with console.status(f"uploads alone, {turn + 1}"):
            alone.append(send("uploads alone"))
        with console.status(f"uploads beside a scan, {turn + 1}"):
            rates.append(scanning(send_beside))
    return alone, beside, sum(rates) / len(rates)


def _rate_per_s(scan: RunningScan, duration_s: float) -> float:
    """Pictures a second of the scan in the seconds that come."""
    began_s = time.perf_counter()
    while scan.is_running and time.perf_counter() - began_s < duration_s:
        time.sleep(_POLL_S)
    ended_s = time.perf_counter()
    return scan.run.between_s(began_s, ended_s) / (ended_s - began_s)
