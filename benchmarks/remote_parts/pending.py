"""Uploads to a front whose one worker works off pictures that were let through unscanned, and uploads alone, by turns.

The ledger has the pending decisions, and a real pict-rs the pictures of the newest, before the front starts, which
begins to work them off when its worker comes. In turns without that work pict-rs stands still, so that no picture can
be fetched: the rest is the same front and worker. Both turns of a pair get uploads at the same moments.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import psutil

from benchmarks import load
from benchmarks.command import require_goodput
from benchmarks.load import Target
from benchmarks.outcomes import Load, joined, p99_ms
from benchmarks.pictrs_process import Running as Pictrs
from benchmarks.record import Check, Table, at_least, at_most, table
from benchmarks.remote_parts import processes
from benchmarks.remote_parts.pending_pictures import WorkedOff, scanned_and_left
from benchmarks.servers import NotServedError, Running
from deployments.ray_environment import free_ports
from serve_app.database.location import Location
from serve_app.domain import RescanMode

MOST_TIMES_P99 = 1.3

_VIEW_S = 0.05
_SHARE = 0.5
_CAPACITY_SHARE = 0.1
_TURNS = 4

_WARM_UP = 16
# A front that could not go on looks again after a minute.
_BEGINS_WITHIN_S = 90.0
_POLL_S = 0.1
_SPARE_S = 30.0

Start = Callable[[Mapping[str, Any]], contextlib.AbstractContextManager[Running]]
"""Starts a front with these settings beside its own, over the ledger that has the pending decisions."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Uploads at capacity, and at half of it alone and beside the work: all turns of each as one."""

    saturated: Load
    alone: Load
    beside: Load
    worked_off: WorkedOff

    @property
    def times_p99(self) -> float:
        """p99 of uploads beside the work over p99 without it."""
        return p99_ms([self.beside]) / p99_ms([self.alone])

    @property
    def worked_off_per_s(self) -> float:
        """Pending pictures scanned a second, while uploads came."""
        return self.worked_off.pictures / self.beside.elapsed_s


def reached(duration_s: float) -> int:
    """More pending pictures than the worker can score while uploads come for so long, and a little before."""
    return int((duration_s + _SPARE_S) / _VIEW_S)


@dataclass(frozen=True, slots=True)
class PendingFronts:
    """A front over a ledger with pending pictures, which are in ``pictrs``."""

    start: Start
    location: Location
    pictrs: Pictrs
    make_body: Callable[[], bytes]

    def measure(self, duration_s: float, connections: int, seed: int) -> Measured:
        """Uploads at capacity, and for so many seconds each, alone and beside the work.

        Raises:
            NotServedError: the front did not start, or does not begin to work pictures off.
        """
        alone: list[Load] = []
        beside: list[Load] = []
        worked_off = 0
        with self._front() as target:
            with self._nothing_fetched():
                saturated = load.saturate(target, connections, _CAPACITY_SHARE * duration_s, "uploads at capacity")
            rate_per_s = _SHARE * require_goodput(saturated).goodput_per_s
            for turn in range(_TURNS):
                # The same moments for both, so that chance makes no difference between them.
                arrivals_s = load.poisson_arrivals_s(rate_per_s, duration_s / _TURNS, 100 * seed + turn)
                with self._nothing_fetched():
                    alone.append(load.open_loop(target, arrivals_s))
                before = self._once_begun()
                beside.append(load.open_loop(target, arrivals_s))
                worked_off += scanned_and_left(self.location).pictures - before
            left = scanned_and_left(self.location).left
        return Measured(
            saturated,
            _as_one("uploads, nothing pending is worked off", alone),
            _as_one("uploads, pending is worked off", beside),
            WorkedOff(worked_off, left),
        )

    @contextlib.contextmanager
    def _nothing_fetched(self) -> Iterator[None]:
        """For as long as the block, pict-rs stands still: whoever asks it waits."""
        process = psutil.Process(self.pictrs.process.pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    @contextlib.contextmanager
    def _front(self) -> Iterator[Target]:
        """A front whose worker has come after it, as one comes back."""
        (port,) = free_ports(1)
        args = {
            "remote": {"port": port},
            "on_unscanned": "accept",
            "rescan": RescanMode.REPORT.value,
            "pictrs": {"url": self.pictrs.url},
        }
        with self.start(args) as service, processes.worker(f"http://127.0.0.1:{port}", "comes-back", _VIEW_S):
            target = Target(service.url, self.make_body, service=service.process)
            load.each_in_turn(target, _WARM_UP)
            yield target

    def _once_begun(self) -> int:
        """How many have been scanned, once there is one more."""
        before, give_up_s = scanned_and_left(self.location).pictures, time.monotonic() + _BEGINS_WITHIN_S
        while (scanned := scanned_and_left(self.location).pictures) == before:
            if time.monotonic() > give_up_s:
                raise NotServedError("the front works no pending picture off: its worker is there, and so is pict-rs")
            time.sleep(_POLL_S)
        return scanned


def _as_one(name: str, loads: Sequence[Load]) -> Load:
    """Several turns, one behind the other."""
    return reduce(lambda first, second: joined(name, first, second), loads)


def checks_of(measured: Measured) -> list[Check]:
    """What is wanted."""
    loads, worked_off = (measured.alone, measured.beside), measured.worked_off
    unscanned = sum(len(each.outcomes) - each.scanned for each in loads)
    return [
        at_most("pending is worked off: p99 of uploads ÷ p99 without", measured.times_p99, MOST_TIMES_P99, digits=2),
        at_most("pending is worked off: uploads that were refused, or not scanned", unscanned, 0),
        at_most("pending is worked off: uploads that were late", sum(each.late for each in loads), 0),
        at_least("pending pictures that were worked off beside uploads", worked_off.pictures, 1),
        at_least("pending pictures that were left then", worked_off.left, 1),
    ]


def pending_table(measured: Measured) -> Table:
    """What uploads and pending pictures had of the worker."""
    rates = {
        "uploads at capacity": measured.saturated.goodput_per_s,
        "uploads, while pending is worked off": measured.beside.goodput_per_s,
        "pending, worked off beside them": measured.worked_off_per_s,
    }
    note = (
        f"{measured.worked_off.pictures:,} were worked off while uploads came at {_SHARE:.0%} of capacity; "
        f"{measured.worked_off.left:,} were left. One worker, {1e3 * _VIEW_S:.0f} ms a view, slept."
    )
    return table("Pending worked off beside uploads", {"": 0, "pictures/s": 1}, rates.items(), note)
