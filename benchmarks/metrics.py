"""What is left of the rate while metrics are counted and read. Starts its own services.

Two services with the demo model, whose pictures cost the least, are loaded by turns, each the first one as often as the
other: one with metrics, whose page is read all the time, and one without. The rates of each two turns beside each other
are compared, since the machine's own speed changes from minute to minute.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import yaml

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import validity
from benchmarks.command import Out, Run, Seed, console, give_up
from benchmarks.load import Target
from benchmarks.outcomes import NO_ANSWER, Load
from benchmarks.record import at_least, table
from benchmarks.servers import REPOSITORY, Home, NotServedError, Running, Way, ours, running
from deployments.ray_environment import free_ports

LEAST_SHARE = 0.97

READ_EVERY_S = 2.0
"""Prometheus reads every 15 s by default."""

_WARM_UP_S = 4.0
_WITH, _WITHOUT = "with metrics", "without"


def bench(
    way: Annotated[Way, typer.Option(help="How they run.")] = Way.ONE_PROCESS,
    turns: Annotated[int, typer.Option(min=2, help="Of load, for each service.")] = 12,
    duration_s: Annotated[float, typer.Option(min=0.1, help="Seconds of a turn.")] = 3.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if less than 0.97 of the rate is left."""
    run = Run("metrics", seed, out)
    make_body = pictures_of(Size.KB_200, seed)
    loads: dict[str, list[Load]] = {_WITH: [], _WITHOUT: []}
    (port,) = free_ports(1)
    try:
        with (
            console.status(f"metrics, {way}"),
            tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as folder,
            serving(way, Path(folder) / "with", port) as counting,
            serving(way, Path(folder) / "without", None) as silent,
        ):
            targets = {
                _WITH: Target(counting.url, make_body, service=counting.process),
                _WITHOUT: Target(silent.url, make_body, service=silent.process),
            }
            for target in targets.values():
                load.at_once(target, load.FEWEST_CONNECTIONS, _WARM_UP_S)
            with reading(port) as read:
                for turn in range(turns):
                    for name in targets if turn % 2 == 0 else reversed(targets):
                        loads[name].append(load.at_once(targets[name], load.FEWEST_CONNECTIONS, duration_s, name))
    except NotServedError as error:
        give_up(str(error))
    shares = [
        counted.goodput_per_s / silent.goodput_per_s
        for counted, silent in zip(loads[_WITH], loads[_WITHOUT], strict=True)
    ]
    every = [each for of in loads.values() for each in of]
    columns = {"demo model": 0, "pictures/s, median": 1, "lowest": 1, "highest": 1, "core-ms a picture, median": 2}
    rows = [
        (name, median(each.goodput_per_s for each in of), *_lowest_and_highest(of), _core_ms(of))
        for name, of in loads.items()
    ]
    note = (
        f"{load.FEWEST_CONNECTIONS} connections, {turns} times {duration_s:g} s each, by turns. The page had "
        f"{read.lines} lines, and was read {read.times} times."
    )
    checks = [
        at_least("pictures/s with metrics ÷ without, median", median(shares), LEAST_SHARE, digits=3),
        at_least("times that the page was read", read.times, turns),
        *validity(every),
    ]
    run.finish(f"Metrics, {way}", [table("With and without", columns, rows, note)], checks)


def _lowest_and_highest(loads: Sequence[Load]) -> tuple[float, float]:
    rates = [each.goodput_per_s for each in loads]
    return min(rates), max(rates)


def _core_ms(loads: Sequence[Load]) -> float:
    """The service's processor time for a picture, which other programs on the machine change less than its rate."""
    return median(sum(each.core_ms.values()) for each in loads)


@contextlib.contextmanager
def serving(way: Way, folder: Path, metrics_port: int | None) -> Iterator[Running]:
    """A service with the demo model, and metrics on that port if there is one.

    Raises:
        NotServedError: it did not start.
    """
    home = Home.within(folder)
    config = folder / "serve.yaml"
    config.write_text(yaml.safe_dump(configuration(metrics_port)), "utf-8")
    with running(ours(way, "--config", str(config)), home=home) as started:
        yield started


def configuration(metrics_port: int | None) -> dict[str, Any]:
    """That of `make run` with the demo model."""
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "deployments" / "local.yaml").read_text("utf-8"))
    config["applications"][0]["args"] |= {"preset": "demo", "metrics": {"port": metrics_port}}
    return config


class Reader:
    """Reads the page on a port, and counts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.times = self.lines = 0

    def read(self) -> None:
        """Once; a page that does not come is not counted."""
        status, page = load.fetched(f"http://127.0.0.1:{self._port}/metrics")
        if status != NO_ANSWER:
            self.lines = page.count("\n")
            self.times += 1


@contextlib.contextmanager
def reading(port: int) -> Iterator[Reader]:
    """The page on a port is read all the time, as long as the block."""
    reader, ended = Reader(port), threading.Event()

    def read() -> None:
        while not ended.wait(READ_EVERY_S):
            reader.read()

    thread = threading.Thread(target=read, name="reader")
    thread.start()
    try:
        yield reader
    finally:
        ended.set()
        thread.join()
