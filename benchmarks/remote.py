"""What a front costs, what a worker elsewhere adds, whether two are worth two, and how long uploads wait for pending.

Starts its own services. The front decodes, keeps a ledger and takes PDQs. Its own cost, and the rates, are measured
with workers that speak the protocol in a process of their own and take a set time a view, asleep: two cores have no
room for two devices. What a worker adds is measured with ``pictwarden worker`` beside the same engine in the service
itself, by turns: over the loopback, and through a relay that delays each way by half of a round trip. What pending
pictures cost uploads is measured with a real pict-rs that has them (`make e2e` builds it).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import load
from benchmarks.bodies import MakeBody, Size, pictures_of
from benchmarks.checks import load_table, validity
from benchmarks.command import Out, Run, Seed, console, give_up, require_goodput
from benchmarks.decision_parts.services import location_in, serving
from benchmarks.load import Target
from benchmarks.outcomes import Load, between, goodput_per_s, joined, latencies_s, percentile_ms
from benchmarks.pictrs_process import BINARY, MISSING, PictrsFailedError
from benchmarks.processes import memory_bytes
from benchmarks.record import Check, at_least, at_most, table
from benchmarks.remote_parts import pending, processes
from benchmarks.servers import Home, NotServedError, Running
from deployments.ray_environment import free_ports
from serve_app.pictrs import API_KEY_ENV
from serve_app.wire import WORKER_SECRETS_ENV

MOST_FRONT_MB, MOST_CORE_MS = 200.0, 8.0
MOST_ADDED_MS, MOST_ROUND_TRIPS = 5.0, 1.5
LEAST_OF_TWO, LEAST_OF_UNEQUAL, LEAST_AFTER_KILL = 1.9, 0.95, 0.9

_SIZE = Size.KB_200
_MODEL = "fake:10ms"
"""Views of 224 px; a pass of the service and of ``pictwarden worker`` sleeps as long."""

_POLICY = """\
policy: fake-red
model: fake
concepts:
  red: {score: cosine, prompts: [red]}
rules:
  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}
"""
_OWNER = "benchmark"
_ROUND_TRIP_S = 0.04
_VIEW_S = 0.05
_TIMES_SLOWER = 3
_SHARE_OF_TWO = 0.5
_KILLED_AT_SHARE = 0.4
_AFTER_KILL_S = 4.0
_JOIN_TIMEOUT_S = 60.0
_POLL_S = 0.1
_TURNS = 2


@dataclass(frozen=True, slots=True)
class Rates:
    """Pictures a second of workers of a set speed: one, two, and one beside one that is slower."""

    one_per_s: float
    two_per_s: float
    unequal_per_s: float

    @property
    def of_two(self) -> float:
        """Two over one."""
        return self.two_per_s / self.one_per_s

    @property
    def of_unequal(self) -> float:
        """One beside a slower one, over the sum of what each can do."""
        return self.unequal_per_s / (self.one_per_s * (1 + 1 / _TIMES_SLOWER))


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
    pending_s: Annotated[float, typer.Option(min=1, help="Seconds of uploads without it, and beside it.")] = 20.0,
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
    os.environ |= {WORKER_SECRETS_ENV: f"{_OWNER}:{secret}", processes.SECRET_ENV: secret, API_KEY_ENV: secret}
    try:
        with tempfile.TemporaryDirectory(prefix="pw-bench-", ignore_cleanup_errors=True) as folder:
            fronts = _Fronts(Path(folder), body, secret)
            with console.status("the front's own cost, and rates"), fronts.remote() as front:
                own, front_mb = front.own_cost(duration_s, connections)
                rates = front.rates(duration_s, connections)
                killed, killed_s = front.kill_one(rates.two_per_s * _SHARE_OF_TWO, kill_s, seed)
            with console.status("what a worker adds"):
                local, loopback, far = fronts.latencies(pictures)
            with console.status(f"uploads beside {waiting:,} pending pictures"), fronts.pending(waiting, seed) as both:
                worked_off = both.measure(pending_s, connections, seed)
    except (NotServedError, PictrsFailedError) as error:
        give_up(str(error))
    measured = Measured(front_mb, own, local, loopback, far, rates, killed, killed_s, worked_off)
    note = (
        f"{_SIZE} pictures. Latencies: one after another, `{_MODEL}` in the service or in `pictwarden worker`; the far "
        f"one is {1e3 * _ROUND_TRIP_S:.0f} ms away, there and back. The front's own cost: a worker whose model costs "
        f"nothing. The kill: {_SHARE_OF_TWO:.0%} of two workers."
    )
    loads = [own, local, loopback, far, killed, worked_off.alone, worked_off.beside]
    rows = zip(("one", "two", f"one, and one {_TIMES_SLOWER} times as slow"), _per_s(rates), strict=True)
    set_speed = f"Workers of a set speed ({1e3 * _VIEW_S:.0f} ms a view, slept), {connections} connections."
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
    round_trips = (far_ms - local_ms) / (1e3 * _ROUND_TRIP_S)
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


@dataclass(frozen=True, slots=True)
class _Front:
    """A front that runs, and what is measured with workers of a set speed."""

    service: Running
    remote_url: str
    body: MakeBody

    @property
    def target(self) -> Target:
        return Target(self.service.url, self.body, service=self.service.process)

    def own_cost(self, duration_s: float, connections: int) -> tuple[Load, float]:
        """With a worker whose model costs nothing; and the memory of the front afterwards, in MB."""
        with processes.worker(self.remote_url, "free", 0.0):
            found = require_goodput(load.saturate(self.target, connections, duration_s, "the front's own cost"))
            return found, memory_bytes(self.service.process) / 1e6

    def rates(self, duration_s: float, connections: int) -> Rates:
        """Of one, two, and one beside a slower one."""
        found = [
            self._rate_per_s(views_s, duration_s, connections)
            for views_s in ([_VIEW_S], [_VIEW_S, _VIEW_S], [_VIEW_S, _TIMES_SLOWER * _VIEW_S])
        ]
        return Rates(*found)

    def kill_one(self, rate_per_s: float, duration_s: float, seed: int) -> tuple[Load, float]:
        """A load in which one of two workers is killed, and when, in seconds from its beginning."""
        killed_at_s = _KILLED_AT_SHARE * duration_s
        with (
            processes.worker(self.remote_url, "killed", _VIEW_S) as killed,
            processes.worker(self.remote_url, "left", _VIEW_S),
        ):
            timer = threading.Timer(killed_at_s, killed.kill)
            timer.start()
            arrivals_s = load.poisson_arrivals_s(rate_per_s, duration_s, seed)
            found = load.open_loop(self.target, arrivals_s, "one of two workers is killed")
            timer.join()
            return found, killed_at_s

    def _rate_per_s(self, views_s: Sequence[float], duration_s: float, connections: int) -> float:
        with contextlib.ExitStack() as workers:
            for number, view_s in enumerate(views_s):
                workers.enter_context(processes.worker(self.remote_url, f"of-a-set-speed-{number}", view_s))
            return require_goodput(load.saturate(self.target, connections, duration_s)).goodput_per_s


class _Fronts:
    """Starts services in a folder."""

    def __init__(self, folder: Path, body: MakeBody, secret: str) -> None:
        self._folder, self._body = folder, body
        self._policy, self._secret_file = folder / "fake-red.yaml", folder / "worker.secret"
        self._policy.write_text(_POLICY, "utf-8")
        self._secret_file.write_text(secret, "utf-8")

    @contextlib.contextmanager
    def remote(self) -> Iterator[_Front]:
        """A front. A worker is there until it has answered its first picture."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        with contextlib.ExitStack() as first:
            starting = threading.Thread(target=lambda: first.enter_context(processes.worker(url, "first", 0.0)))
            starting.start()
            with self._serving("front", {"remote": {"port": port}}) as service:
                starting.join()
                first.close()
                yield _Front(service, url, self._body)

    @contextlib.contextmanager
    def pending(self, pictures: int, seed: int) -> Iterator[pending.Fronts]:
        """Fronts whose ledger has so many pending pictures, all of which a pict-rs has."""
        location = location_in(Home.within(self._folder / "pending"))
        start = partial(self._serving, "pending")
        with pending.pending_pictures(location, pictures, self._secret_file.read_text("utf-8"), seed) as url:
            yield pending.Fronts(start, location, url, self._body)

    def latencies(self, pictures: int) -> tuple[Load, Load, Load]:
        """Of a local scorer, of a worker over the loopback, and of one far away."""
        found: list[list[Load]] = [[], [], []]
        with self.remote() as front, self._serving("local", {}) as local:
            targets = [Target(local.url, self._body), front.target, front.target]
            names = ("a local scorer", "a worker, loopback", "a worker, 40 ms away")
            far = processes.relay(int(front.remote_url.rpartition(":")[2]), _ROUND_TRIP_S / 2)
            with far as far_url:
                urls = (None, front.remote_url, far_url)
                for _ in range(_TURNS):
                    for name, target, url, loads in zip(names, targets, urls, found, strict=True):
                        with self._working(url, target):
                            loads.append(load.each_in_turn(target, pictures // _TURNS, name=name))
        local_load, loopback, of_far = (joined(name, *loads) for name, loads in zip(names, found, strict=True))
        return local_load, loopback, of_far

    @contextlib.contextmanager
    def _working(self, url: str | None, target: Target) -> Iterator[None]:
        """With ``pictwarden worker`` where there is a ``url``, once a picture is scanned."""
        with contextlib.ExitStack() as worker:
            if url is not None:
                worker.enter_context(processes.real_worker(url, _MODEL, self._secret_file))
            _wait_for(lambda: load.answer_to(target.url, self._body()) in load.STORED_OR_REJECTED)
            yield

    def _serving(self, name: str, args: Mapping[str, Any]) -> contextlib.AbstractContextManager[Running]:
        own = {"model": {"source": _MODEL}, "policy": str(self._policy)}
        return serving(Home.within(self._folder / name), {**own, **args})


def _wait_for(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + _JOIN_TIMEOUT_S
    while not condition():
        if time.monotonic() > give_up_s:
            raise NotServedError("no picture was scanned: the worker did not connect")
        time.sleep(_POLL_S)


def _p50_ms(of: Load) -> float:
    return percentile_ms(latencies_s(of.outcomes), 0.5) or float("nan")


def _per_s(rates: Rates) -> tuple[float, float, float]:
    return rates.one_per_s, rates.two_per_s, rates.unequal_per_s
