"""How many workers are enough: the real fleet in virtual time, and desktops that come and go.

Each worker is a desktop that is on for 4 to 10 hours, mostly in the evening, and is rebooted now and then. Two of three
have a graphics card, the third computes on its CPU. At the end of its time it leaves, or its connection is reset, or it
is suspended and says nothing. Pictures come by a daily curve, a third of them in bursts; once a day another source
floods the front. Fleet, batcher and deadlines are the service's own; networks and devices take simulated time.

With ``--minutes`` under 60 the day is thinned: of each hour so many are played, with all that happens in them. Workers
that come or go in between have done so when the next part begins.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
import typer
from numpy.random import Generator, default_rng

from benchmarks.command import Out, Run, Seed, console
from benchmarks.record import at_most, table
from benchmarks.simulated_worker import Machine, SimulatedWorker, views_of
from benchmarks.virtual_time import play
from serve_app.domain import (
    Call,
    Deadline,
    LabelScores,
    NotScannedError,
    UnavailableError,
    Views,
)
from serve_app.remote.fleet import Fleet, Member

DEADLINE_S: Final = 8.0
LATE_S: Final = 8.5

_HOUR_S, _DAY_S = 3600.0, 86400.0
_FLOOD_S = 60.0

PICTURES_A_DAY: Final = (2_000, 20_000, 100_000)
WORKERS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)

CARD: Final = Machine({1: 0.012, 2: 0.014, 4: 0.018, 8: 0.026, 16: 0.042, 32: 0.075}, 0.020, 2.5e6)
"""A gaming card with ViT-L/14, behind a home link of 20 Mbit/s."""

CPU: Final = Machine({1: 0.25, 2: 0.45, 4: 0.85}, 0.020, 2.5e6)

VIEWS: Final = (1, 3, 12)
"""Of a picture, of a long one or a small animation, and of a long animation."""
VIEW_SHARES: Final = (0.6, 0.3, 0.1)

FLOOD_PER_S: Final = 20.0
_FLOOD, _USERS = "flood", "users"

# A third of the pictures come as somebody's gallery.
_BURST_SHARE, _BURST_PICTURES, _BURST_S = 0.33, 20, 10.0

_ENDS = {"leaves": 0.5, "is reset": 0.3, "is suspended": 0.2}
_REBOOTS, _PLAYS_GAMES, _GAME_SLOWNESS = 0.5, 0.15, 5.0


@dataclass(frozen=True, slots=True)
class Session:
    """A time for which a worker is connected, in seconds of the day; ``how`` it ends, and how slow it is."""

    begins_s: float
    ends_s: float
    how: str
    slowness: float


@dataclass(slots=True)
class Cell:
    """What became of the pictures of some days."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {_USERS: Counter(), _FLOOD: Counter()})
    took_s: list[float] = field(default_factory=list)
    handed_over: int = 0
    on: list[int] = field(default_factory=list)

    def share(self, source: str, outcome: str) -> float:
        """Per cent of the pictures of ``source``."""
        return 100.0 * self.outcomes[source][outcome] / max(1, self.outcomes[source].total())

    def row(self) -> tuple[float | int | None, ...]:
        """Of the table."""
        times_ms = 1e3 * np.array(self.took_s)
        p50, p99 = np.percentile(times_ms, (50, 99), method="inverted_cdf") if len(times_ms) > 100 else (None, None)
        return (
            float(np.mean(self.on)),
            100.0 * float(np.mean(np.array(self.on) == 0)),
            *(self.share(_USERS, each) for each in ("scanned", "unavailable", "refused")),
            self.share(_FLOOD, "refused"),
            sum(each["late"] for each in self.outcomes.values()),
            p50,
            p99,
            self.handed_over,
        )


_COLUMNS: Final = {
    "pictures a day": 0,
    "workers": 0,
    "on at once": 1,
    "nobody on, % of the day": 0,
    "scanned %": 1,
    "nobody there %": 1,
    "refused %": 2,
    "of the flood refused %": 0,
    "late": 0,
    "p50 ms": 0,
    "p99 ms": 0,
    "handed over": 0,
}


def bench(
    days: Annotated[int, typer.Option(min=1, help="Of each number of workers.")] = 1,
    minutes: Annotated[int, typer.Option(min=1, max=60, help="Of each hour, that are played.")] = 60,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Simulate; exit code 1 if an answer is late."""
    run = Run("remote_simulation", seed, out)
    rows = []
    late = 0
    for pictures in PICTURES_A_DAY:
        for workers in WORKERS:
            with console.status(f"{pictures:,} pictures a day, {workers} workers"):
                cell = Cell()
                for day in range(days):
                    play(played(pictures, workers, [seed, day], cell, 60.0 * minutes))
            late += sum(each["late"] for each in cell.outcomes.values())
            rows.append((f"{pictures:,}", workers, *cell.row()))
    note = (
        f"{days} {'day' if days == 1 else 'days'}, {minutes} minutes of each hour. *Nobody there*: no worker was "
        "connected when the picture came, or the only one was lost with it. The flood has "
        f"{FLOOD_PER_S:.0f} pictures a second of another source for a minute. All other columns are of the other "
        "pictures, those of that minute included."
    )
    run.finish(
        "How many workers are enough",
        [table("Desktops that come and go", _COLUMNS, rows, note)],
        [at_most(f"answers after {LATE_S} s", late, 0)],
    )


async def played(pictures_a_day: int, workers: int, seed: Sequence[int], cell: Cell, part_s: float) -> None:
    """One day, of each hour the first ``part_s``: adds what became of its pictures to ``cell``."""
    day = _Day(workers, seed, cell)
    rng = default_rng([*seed, pictures_a_day])
    flood_s = float(default_rng(seed).integers(12, 22)) * _HOUR_S
    for begins_s in np.arange(0.0, _DAY_S, _HOUR_S):
        rate_per_s = pictures_a_day / _DAY_S * (1.0 + 0.8 * math.cos(2 * math.pi * (begins_s / _HOUR_S - 20.0) / 24.0))
        arrivals = [(at_s, _USERS) for at_s in _arrivals_s(rate_per_s, part_s, rng)]
        if begins_s == flood_s:
            flood_at_s = rng.uniform(0.0, part_s - _FLOOD_S)
            of_flood = rng.uniform(flood_at_s, flood_at_s + _FLOOD_S, round(FLOOD_PER_S * _FLOOD_S))
            arrivals += [(at_s, _FLOOD) for at_s in of_flood]
        await day.part(float(begins_s), part_s, sorted(arrivals), rng)
    await day.end()


def _arrivals_s(rate_per_s: float, part_s: float, rng: Generator) -> Iterator[float]:
    alone = rng.poisson(rate_per_s * part_s * (1.0 - _BURST_SHARE))
    yield from rng.uniform(0.0, part_s, alone)
    for _ in range(rng.poisson(rate_per_s * part_s * _BURST_SHARE / _BURST_PICTURES)):
        yield from rng.uniform(0.0, part_s - _BURST_S) + rng.uniform(0.0, _BURST_S, _BURST_PICTURES)


def sessions(rng: Generator) -> Iterator[Session]:
    """When a desktop is on in a day."""
    begins_s = rng.normal(17.0, 4.0) * _HOUR_S % _DAY_S
    ends_s = begins_s + rng.uniform(4.0, 10.0) * _HOUR_S
    times = [begins_s, ends_s]
    if rng.random() < _REBOOTS:
        reboot_s = rng.uniform(begins_s, ends_s)
        times = [begins_s, reboot_s, min(reboot_s + rng.uniform(60.0, 180.0), ends_s), ends_s]
    for begins_s, ends_s in zip(times[::2], times[1::2], strict=True):
        how = str(rng.choice(list(_ENDS), p=list(_ENDS.values())))
        slowness = _GAME_SLOWNESS if rng.random() < _PLAYS_GAMES else 1.0
        yield Session(begins_s, ends_s, how, slowness)
        # A night that goes on after midnight was there in the morning of the day, too.
        if ends_s > _DAY_S:
            yield Session(begins_s - _DAY_S, ends_s - _DAY_S, how, slowness)


class _Counting:
    """A watcher of the fleet that counts."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def joined(self, member: Member) -> None:
        pass

    def left(self, member: Member, why: str) -> None:
        pass

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        pass

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        self._cell.handed_over += 1

    def failed(self, call: Call, error: NotScannedError) -> None:
        pass


class _Day:
    def __init__(self, workers: int, seed: Sequence[int], cell: Cell) -> None:
        self._loop = asyncio.get_running_loop()
        self._fleet = Fleet([("label",)], clock=self._loop.time, max_workers=workers)
        self._fleet.watchers.append(_Counting(cell))
        self._cell = cell
        # The first workers are the same ones, however many there are.
        self._sessions = [
            (CPU if number % 3 == 2 else CARD, session)
            for number in range(workers)
            for session in sessions(default_rng([*seed, number, 0]))
        ]
        self._on: dict[Session, SimulatedWorker] = {}
        self._all: list[SimulatedWorker] = []

    async def part(self, begins_s: float, part_s: float, arrivals: Sequence[tuple[float, str]], rng: Generator) -> None:
        """Play so much of an hour, and wait for its answers."""
        for machine, session in self._sessions:
            is_on = session.begins_s <= begins_s < session.ends_s
            if is_on and session not in self._on:
                self._join(machine, session)
            elif not is_on and session in self._on:
                self._on.pop(session).lose()
        self._cell.on.append(len(self._on))
        now_s = self._loop.time()
        changes = []
        for machine, session in self._sessions:
            if begins_s < session.begins_s < begins_s + part_s:
                changes.append(self._loop.call_at(now_s + session.begins_s - begins_s, self._join, machine, session))
            if begins_s < session.ends_s < begins_s + part_s:
                changes.append(self._loop.call_at(now_s + session.ends_s - begins_s, self._leave, session))
        tasks = []
        for at_s, source in arrivals:
            await asyncio.sleep(now_s + at_s - self._loop.time())
            views = int(rng.choice(VIEWS, p=VIEW_SHARES))
            tasks.append(self._loop.create_task(self._ask(views, source)))
        await asyncio.sleep(now_s + part_s - self._loop.time())
        await asyncio.gather(*tasks)

    async def end(self) -> None:
        """Of the day."""
        self._fleet.close()
        for worker in self._all:
            await worker.end()

    def _join(self, machine: Machine, session: Session) -> None:
        worker = SimulatedWorker(machine)
        worker.slowness = session.slowness
        worker.join(self._fleet)
        self._on[session] = worker
        self._all.append(worker)

    def _leave(self, session: Session) -> None:
        worker = self._on.pop(session, None)
        if worker is None:
            return
        if session.how == "leaves":
            worker.leave()
            self._loop.call_later(DEADLINE_S, worker.lose, "it has ended")
        elif session.how == "is reset":
            worker.lose()
        else:
            worker.is_cut = True

    async def _ask(self, views: int, source: str) -> None:
        asked_s = self._loop.time()
        call = Call("simulated", Deadline.after(DEADLINE_S, self._loop.time), source=source)
        try:
            await self._fleet.score(0, views_of(0, views), call)
            outcome = "scanned"
        except UnavailableError:
            outcome = "unavailable"
        except NotScannedError:
            outcome = "refused"
        took_s = self._loop.time() - asked_s
        if took_s > LATE_S:
            outcome = "late"
        elif outcome == "scanned" and source == _USERS:
            self._cell.took_s.append(took_s)
        self._cell.outcomes[source][outcome] += 1
