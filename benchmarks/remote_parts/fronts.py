"""Fronts that a benchmark starts, and what is measured with them and workers: loads, rates and memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.bodies import MakeBody
from benchmarks.command import require_goodput
from benchmarks.decision_parts.services import location_in, serving
from benchmarks.load import Target
from benchmarks.outcomes import Load, joined
from benchmarks.processes import memory_bytes
from benchmarks.remote_parts import pending, pending_pictures, processes
from benchmarks.served import FAKE_POLICY
from benchmarks.servers import Home, NotServedError, Running
from deployments.ray_environment import free_ports

MODEL = "fake:10ms"
"""Views of 224 px; a pass of the service and of ``pictwarden worker`` sleeps as long."""

OWNER = "benchmark"
ROUND_TRIP_S = 0.04
VIEW_S = 0.05
TIMES_SLOWER = 3

_KILLED_AT_SHARE = 0.4
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
        return self.unequal_per_s / (self.one_per_s * (1 + 1 / TIMES_SLOWER))


@dataclass(frozen=True, slots=True)
class Front:
    """A front that runs, and what is measured with workers of a set speed."""

    service: Running
    remote_url: str
    body: MakeBody

    @property
    def target(self) -> Target:
        """Where pictures are sent."""
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
            for views_s in ([VIEW_S], [VIEW_S, VIEW_S], [VIEW_S, TIMES_SLOWER * VIEW_S])
        ]
        return Rates(*found)

    def kill_one(self, rate_per_s: float, duration_s: float, seed: int) -> tuple[Load, float]:
        """A load in which one of two workers is killed, and when, in seconds from its beginning."""
        killed_at_s = _KILLED_AT_SHARE * duration_s
        with (
            processes.worker(self.remote_url, "killed", VIEW_S) as killed,
            processes.worker(self.remote_url, "left", VIEW_S),
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


class Fronts:
    """Starts services in a folder."""

    def __init__(self, folder: Path, body: MakeBody, secret: str) -> None:
        self._folder, self._body = folder, body
        self._policy, self._secret_file = folder / "fake-red.yaml", folder / "worker.secret"
        self._policy.write_text(FAKE_POLICY, "utf-8")
        self._secret_file.write_text(secret, "utf-8")

    @contextlib.contextmanager
    def remote(self) -> Iterator[Front]:
        """A front. A worker is there until it has answered its first picture."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        with contextlib.ExitStack() as first:
            starting = threading.Thread(target=lambda: first.enter_context(processes.worker(url, "first", 0.0)))
            starting.start()
            with self._serving("front", {"remote": {"port": port}}) as service:
                starting.join()
                first.close()
                yield Front(service, url, self._body)

    @contextlib.contextmanager
    def with_pending(self, pictures: int, stored: int, seed: int) -> Iterator[pending.PendingFronts]:
        """Fronts whose ledger has so many pending pictures; a pict-rs has the newest, ``stored`` of them."""
        location = location_in(Home.within(self._folder / "pending"))
        start, api_key = partial(self._serving, "pending"), self._secret_file.read_text("utf-8")
        with pending_pictures.pending_pictures(location, pictures, stored, api_key, seed) as pictrs:
            yield pending.PendingFronts(start, location, pictrs, self._body)

    def latencies(self, pictures: int) -> tuple[Load, Load, Load]:
        """Of a local scorer, of a worker over the loopback, and of one far away."""
        found: list[list[Load]] = [[], [], []]
        with self.remote() as front, self._serving("local", {}) as local:
            targets = [Target(local.url, self._body), front.target, front.target]
            names = ("a local scorer", "a worker, loopback", "a worker, 40 ms away")
            far = processes.relay(int(front.remote_url.rpartition(":")[2]), ROUND_TRIP_S / 2)
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
                worker.enter_context(processes.real_worker(url, MODEL, self._secret_file))
            _wait_for(lambda: load.answer_to(target.url, self._body()) in load.STORED_OR_REJECTED)
            yield

    def _serving(self, name: str, args: Mapping[str, Any]) -> contextlib.AbstractContextManager[Running]:
        own = {"model": {"source": MODEL}, "policy": str(self._policy)}
        return serving(Home.within(self._folder / name), {**own, **args})


def _wait_for(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + _JOIN_TIMEOUT_S
    while not condition():
        if time.monotonic() > give_up_s:
            raise NotServedError("no picture was scanned: the worker did not connect")
        time.sleep(_POLL_S)
