"""Sending bodies to a scan URL and timing the answers: the only module of the benchmarks that touches the network."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

# Longer than pict-rs' wall of 10 s, so that an answer that is late is seen to be late and not taken for none.
CLIENT_TIMEOUT_S = 30.0

NO_ANSWER = 0
"""The "status" of a request that got no answer at all."""

MakeBody = Callable[[], bytes]


@dataclass
class Load:
    """What came of some requests. ``latencies_s`` are of all answers, whatever their status."""

    elapsed_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def answers_per_s(self) -> float:
        """Answers of any status per second."""
        return len(self.latencies_s) / self.elapsed_s

    @property
    def failures(self) -> int:
        """Requests without an answer, and answers that say that nobody looked (5xx)."""
        return sum(count for status, count in self.statuses.items() if status == NO_ANSWER or status >= 500)


async def one_after_another(url: str, make_body: MakeBody, requests: int) -> Load:
    """Each request when the one before is answered: what a picture costs when nothing else is going on."""
    load = Load()
    async with _session(1) as session:
        started_s = time.perf_counter()
        for _ in range(requests):
            await _send(session, url, make_body(), time.perf_counter(), load)
        load.elapsed_s = time.perf_counter() - started_s
    return load


async def at_once(url: str, make_body: MakeBody, connections: int, duration_s: float) -> Load:
    """As many requests as ``connections`` get through: what the service bears when its users wait for each other."""
    load = Load()

    async def keep_sending(session: aiohttp.ClientSession, until_s: float) -> None:
        while time.perf_counter() < until_s:
            await _send(session, url, make_body(), time.perf_counter(), load)

    async with _session(connections) as session:
        started_s = time.perf_counter()
        await asyncio.gather(*(keep_sending(session, started_s + duration_s) for _ in range(connections)))
        load.elapsed_s = time.perf_counter() - started_s
    return load


async def open_loop(url: str, make_body: MakeBody, arrivals_s: Sequence[float]) -> Load:
    """A request at each of ``arrivals_s`` (seconds from the start), timed from that moment and not from its send."""
    load = Load()
    async with _session(0) as session:
        started_s = time.perf_counter()
        sends = []
        for arrival_s in arrivals_s:
            await asyncio.sleep(started_s + arrival_s - time.perf_counter())
            sends.append(asyncio.create_task(_send(session, url, make_body(), started_s + arrival_s, load)))
        await asyncio.gather(*sends)
        load.elapsed_s = time.perf_counter() - started_s
    return load


def _session(connections: int) -> aiohttp.ClientSession:
    """A client with at most ``connections`` at once; 0 for no limit."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_S),
    )


async def _send(session: aiohttp.ClientSession, url: str, body: bytes, intended_s: float, load: Load) -> None:
    try:
        async with session.post(url, data=body) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError):
        load.statuses[NO_ANSWER] += 1
        return
    load.latencies_s.append(time.perf_counter() - intended_s)
    load.statuses[status] += 1
