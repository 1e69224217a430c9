"""What a front costs, what a worker elsewhere adds, whether two are worth two, and how long uploads wait for pending.

Starts its own services. The front decodes, keeps a ledger and takes PDQs. Its own cost, and the rates, are measured
with workers that speak the protocol in a process of their own and take a set time a view, asleep: two cores have no
room for two devices. What a worker adds is measured with ``pictwarden worker`` beside the same engine in the service
itself, by turns: over the loopback, and through a relay that delays each way by half of a round trip. What pending
pictures cost uploads is measured with a real pict-rs that has them (`make e2e` builds it).
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import load_table, validity
from benchmarks.command import Out, Run, Seed, console, give_up
from benchmarks.outcomes import Load, between, goodput_per_s, latencies_s, percentile_ms
from benchmarks.pictrs_process import BINARY, MISSING, PictrsFailedError
from benchmarks.record import Check, at_least, at_most, table
from benchmarks.remote_parts import pending, processes
from benchmarks.remote_parts.fronts import MODEL, OWNER, ROUND_TRIP_S, TIMES_SLOWER, VIEW_S, Fronts, Rates
from benchmarks.servers import NotServedError
from serve_app.pictrs import API_KEY_ENV
from serve_app.wire import WORKER_SECRETS_ENV

MOST_FRONT_MB, MOST_CORE_MS = 200.0, 8.0
MOST_ADDED_MS, MOST_ROUND_TRIPS = 5.0, 1.5
LEAST_OF_TWO, LEAST_OF_UNEQUAL, LEAST_AFTER_KILL = 1.9, 0.95, 0.9

_SIZE = Size.KB_200
_SHARE_OF_TWO = 0.5
_AFTER_KILL_S = 4.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All loads, and what was read beside them."""

    front_mb: float
    own: Load
    local: Load
    loopback: Load
    far: Load
    rates: Rates
    killed: Load
    killed_s: float
    pending: pending.Measured

    @property
    def after_kill(self) -> float:
        """What was scanned in the seconds after a worker was killed, of what came and the other one can do."""
        after = between("", self.killed, self.killed_s, self.killed_s + _AFTER_KILL_S)
        scanned_per_s = goodput_per_s(self.killed.outcomes, self.killed_s, self.killed_s + _AFTER_KILL_S)
        return scanned_per_s / min(self.rates.one_per_s, after.offered_per_s)


def bench(
    pictures: Annotated[int, typer.Option(min=1, help="One after another for each latency, in two turns.")] = 200,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each load at capacity.")] = 12.0,
    kill_s: Annotated[float, typer.Option(min=5, help="Seconds of the load in which a worker is killed.")] = 20.0,
    waiting: Annotated[int, typer.Option("--pending", min=1, help="Pictures that wait to be worked off.")] = 10_000,
    pending_s: Annotated[float, typer.Option(min=1, help="Seconds of uploads without it, and beside it.")] = 60.0,
    connections: Annotated[int, typer.Option(min=1, help="That never rest, at capacity.")] = load.FEWEST_CONNECTIONS,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a check does not hold, 2 if a service, a worker or pict-rs does not start."""
    if not BINARY.is_file():
        give_up(MISSING)
    run = Run("remote", seed, out)
    body = pictures_of(_SIZE, seed)
    secret = secrets.token_hex(16)
    os.environ |= {WORKER_SECRETS_ENV: f"{OWNER}:{secret}", processes.SECRET_ENV: secret, API_KEY_ENV: secret}
    try:
        with tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as folder:
            fronts = Fronts(Path(folder), body, secret)
            with console.status("the front's own cost, and rates"), fronts.remote() as front:
                own, front_mb = front.own_cost(duration_s, connections)
                rates = front.rates(duration_s, connections)
                killed, killed_s = front.kill_one(rates.two_per_s * _SHARE_OF_TWO, kill_s, seed)
            with console.status("what a worker adds"):
                local, loopback, far = fronts.latencies(pictures)
            stored = min(waiting, pending.reached(pending_s))
            with console.status(f"{waiting:,} pending"), fronts.with_pending(waiting, stored, seed) as both:
                worked_off = both.measure(pending_s, connections, seed)
    except (NotServedError, PictrsFailedError) as error:
        give_up(str(error))
    measured = Measured(front_mb, own, local, loopback, far, rates, killed, killed_s, worked_off)
    note = (
        f"{_SIZE} pictures. Latencies: one after another, `{MODEL}` in the service or in `pictwarden worker`; the far "
        f"one is {1e3 * ROUND_TRIP_S:.0f} ms away, there and back. The front's own cost: a worker whose model costs "
        f"nothing. The kill: {_SHARE_OF_TWO:.0%} of two workers."
    )
    loads = [own, local, loopback, far, killed, worked_off.alone, worked_off.beside]
    rows = zip(("one", "two", f"one, and one {TIMES_SLOWER} times as slow"), _per_s(rates), strict=True)
    set_speed = f"Workers of a set speed ({1e3 * VIEW_S:.0f} ms a view, slept), {connections} connections."
    tables = [
        load_table("Loads", loads, note),
        table("Pictures a second", {"workers": 0, "pictures/s": 1}, rows, set_speed),
        pending.pending_table(worked_off),
        table("Core-ms of the front a picture", {"stage": 0, "core-ms": 2}, own.core_ms.items()),
    ]
    run.finish("Workers elsewhere", tables, checks_of(measured))


def checks_of(measured: Measured) -> list[Check]:
    """What is wanted."""
    rates, killed, both = measured.rates, measured.killed, (measured.pending.alone, measured.pending.beside)
    local_ms, loopback_ms, far_ms = map(_p50_ms, (measured.local, measured.loopback, measured.far))
    round_trips = (far_ms - local_ms) / (1e3 * ROUND_TRIP_S)
    unscanned = sum(len(of.outcomes) - of.scanned for of in (measured.own, measured.local, measured.loopback))
    return [
        at_most("memory (PSS) of the front with its decode workers", measured.front_mb, MOST_FRONT_MB, "MB"),
        at_most("the front, a picture", sum(measured.own.core_ms.values()), MOST_CORE_MS, "core-ms", 2),
        at_most("added to a local scorer's p50, over the loopback", loopback_ms - local_ms, MOST_ADDED_MS, "ms", 1),
        at_most("added to a local scorer's p50, 40 ms away", round_trips, MOST_ROUND_TRIPS, "round trips", 2),
        at_least("two workers ÷ one", rates.of_two, LEAST_OF_TWO, digits=2),
        at_least("one, and a slower one ÷ the sum of both", rates.of_unequal, LEAST_OF_UNEQUAL, digits=2),
        at_most("a worker is killed: pictures that failed", killed.failed, 0),
        at_most("a worker is killed: pictures that were late", killed.late, 0),
        at_least(
            f"scanned in the {_AFTER_KILL_S:.0f} s after it ÷ what came and one worker can do",
            measured.after_kill,
            LEAST_AFTER_KILL,
            digits=2,
        ),
        at_most("pictures that were not scanned, while no worker was killed", unscanned, 0),
        *pending.checks_of(measured.pending),
        *validity([measured.own, measured.local, measured.loopback, measured.far, killed, *both]),
    ]


def _p50_ms(of: Load) -> float:
    return percentile_ms(latencies_s(of.outcomes), 0.5) or float("nan")


def _per_s(rates: Rates) -> tuple[float, float, float]:
    return rates.one_per_s, rates.two_per_s, rates.unequal_per_s
