"""Whether one instance keeps another one waiting on a Pictwarden that both share.

Starts its own service, with three sources. The *quiet* one sends a quarter of what the service can do. First it is
alone; then the *busy* one sends ten times its quota as well; then a third one, which has no quota, floods the service:
that is told and has no limit, since refusals take the cores from everybody. The busy one may have a minute's pictures
at once before its quota holds: those seconds have a row of their own.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import load_table, validity
from benchmarks.command import Out, Run, Seed, console, give_up, require_goodput
from benchmarks.decision_parts.services import serving
from benchmarks.load import Target
from benchmarks.outcomes import Load, between, joined, latencies_s, percentile_ms
from benchmarks.record import Check, at_most
from benchmarks.servers import Home, NotServedError, Way

MOST_TIMES_P99 = 1.2

_SIZE = Size.KB_200
_QUIET, _BUSY, _FLOODING = "quiet", "busy", "flooding"
_QUIET_SHARE = 0.25
_QUOTA_SHARE = 0.05
_TIMES_QUOTA = 10
_FLOOD_TIMES = 2.0
_BURST_S = 10.0
"""Longer than a full quota lasts at ten times its rate: 6.7 s."""


def bench(
    way: Annotated[Way, typer.Option(help="How the service runs.")] = Way.ONE_PROCESS,
    capacity_s: Annotated[float, typer.Option(min=1, help="Seconds for the capacity.")] = 8.0,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds alone, and with the busy source.")] = 30.0,
    flood_s: Annotated[float, typer.Option(min=1, help="Seconds of the flood.")] = 10.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if the quiet source waited longer, was refused, or the busy one had more than its quota."""
    run = Run("sources", seed, out)
    body = pictures_of(_SIZE, seed)
    try:
        with console.status("capacity"), _served(way, {}) as urls:
            full = load.saturate(Target(urls[_QUIET], body), load.FEWEST_CONNECTIONS, capacity_s)
            capacity_per_s = require_goodput(full).goodput_per_s
        quota = max(1, round(_QUOTA_SHARE * capacity_per_s * 60))
        with (
            console.status(f"{capacity_per_s:.0f} pictures/s, a quota of {quota} a minute"),
            _served(way, {"quota_per_minute": quota}) as urls,
        ):
            targets = {source: Target(url, body) for source, url in urls.items()}
            rates_per_s = {
                _QUIET: _QUIET_SHARE * capacity_per_s,
                _BUSY: _TIMES_QUOTA * quota / 60,
                _FLOODING: _FLOOD_TIMES * capacity_per_s,
            }

            def together(sources: Sequence[str], seconds: float, turn: int) -> list[Load]:
                return _together([(targets[each], rates_per_s[each], each) for each in sources], seconds, seed + turn)

            (before,) = together([_QUIET], duration_s / 2, 1)
            beside, busy = together([_QUIET, _BUSY], _BURST_S + duration_s, 2)
            (after,) = together([_QUIET], duration_s / 2, 3)
            flooded, flood = together([_QUIET, _FLOODING], flood_s, 4)
    except NotServedError as error:
        give_up(str(error))
    alone = joined("quiet, alone", before, after)
    at_first = between("quiet, as the busy one uses its minute up", beside, 0.0, _BURST_S)
    then = between("quiet, beside ten times the quota", beside, _BURST_S, _BURST_S + duration_s)
    loads = [
        *(alone, at_first, then, replace(busy, name="busy, ten times its quota")),
        *(replace(flooded, name="quiet, beside a flood"), replace(flood, name="flooding, without a quota")),
    ]
    note = (
        f"Capacity: {capacity_per_s:.1f} pictures/s of {_SIZE}, {way}, preset demo; the quota is {quota} pictures a "
        "minute. The answers of the busy and of the flooding source are mostly refusals."
    )
    times_p99 = _p99(then) / _p99(alone)
    unscanned = sum(len(each.outcomes) - each.scanned for each in (alone, beside))
    checks = [
        at_most("quiet: p99 beside ten times the quota ÷ p99 alone", times_p99, MOST_TIMES_P99, digits=2),
        at_most("quiet: pictures that were not scanned, alone or beside ten times the quota", unscanned, 0),
        _quota_check(busy, quota),
        *validity([before, beside, busy, after]),
    ]
    run.finish("Several instances on one service", [load_table("Loads", loads, note)], checks)


def _quota_check(busy: Load, quota: int) -> Check:
    """A minute's pictures at once, and what grows meanwhile."""
    most = quota * (1 + busy.elapsed_s / 60)
    return at_most("busy: pictures scanned ÷ what its quota allows", busy.scanned / most, 1.0, digits=2)


def _p99(of: Load) -> float:
    return percentile_ms(latencies_s(of.outcomes), 0.99) or float("nan")


def _together(loads: Sequence[tuple[Target, float, str]], seconds: float, seed: int) -> list[Load]:
    """Open loops at the same time, each with its rate; the threads share one core of the generator."""

    def send(number: int) -> Load:
        target, rate_per_s, name = loads[number]
        return load.open_loop(target, load.poisson_arrivals_s(rate_per_s, seconds, 100 * seed + number), name)

    with ThreadPoolExecutor(len(loads)) as pool:
        return list(pool.map(send, range(len(loads))))


@contextmanager
def _served(way: Way, of_busy: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The scan URL of each source of a service; ``of_busy`` are settings of the busy one."""
    given = {source: secrets.token_hex(16) for source in (_QUIET, _BUSY, _FLOODING)}
    variables = {source: f"PICTWARDEN_BENCHMARK_{source.upper()}" for source in given}
    settings: dict[str, dict[str, Any]] = {source: {"secrets_env": name} for source, name in variables.items()}
    settings[_BUSY] |= of_busy
    os.environ.update({variables[source]: secret for source, secret in given.items()})
    with (
        tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as folder,
        serving(Home.within(Path(folder)), {"sources": settings}, way) as started,
    ):
        root = started.url.rpartition("/")[0]
        yield {source: f"{root}/{secret}" for source, secret in given.items()}
