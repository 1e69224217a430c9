"""Sending pictures to a scan URL and timing the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from benchmarks import hardware
from benchmarks.client import Client, Parts
from benchmarks.outcomes import NO_ANSWER, Outcome, outcome_of

# Longer than pict-rs' wall of 10 s, so that an answer that is late is seen to be late and not taken for none.
CLIENT_TIMEOUT_S = 30.0

_WARM_UP_SHARE = 0.25

MakeBody = Callable[[], Parts]


@dataclass
class Load:
    """What came of some requests.

    Attributes:
        outcomes: in the order in which they ended.
        started_s: the load's beginning, on the clock of ``time.perf_counter``.
        window_s: from the beginning to the last moment at which something was to be sent.
        elapsed_s: from the beginning to the last answer.
        client_cpu_s: processor time that making the load took, which the service on the same cores did not have.
        machine_cpu_s: processor time that everybody on this machine used meanwhile.
        unasked_answers: answers for which there was no request.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    started_s: float = 0.0
    window_s: float = 0.0
    elapsed_s: float = 0.0
    client_cpu_s: float = 0.0
    machine_cpu_s: float = 0.0
    unasked_answers: int = 0

    @property
    def offered_per_s(self) -> float:
        """Pictures sent a second while something was to be sent."""
        return len(self.outcomes) / self.window_s

    @property
    def client_cores(self) -> float:
        """How many cores, on average, making the load took."""
        return self.client_cpu_s / self.elapsed_s

    @property
    def busy_cores(self) -> float:
        """How many cores of this machine, on average, had something to do."""
        return self.machine_cpu_s / self.elapsed_s


async def one_after_another(url: str, make_body: MakeBody, requests: int) -> Load:
    """Each request when the one before is answered: what a picture costs when nothing else is going on."""

    async def send_all(send: _Send, _: float) -> None:
        for _request in range(requests):
            await send(time.perf_counter())

    return await _timed(url, make_body, send_all)


async def at_once(url: str, make_body: MakeBody, connections: int, duration_s: float) -> Load:
    """As many requests as ``connections`` get through: what the service bears when its users wait for each other."""

    async def keep_sending(send: _Send, until_s: float) -> None:
        while time.perf_counter() < until_s:
            await send(time.perf_counter())

    async def send_all(send: _Send, started_s: float) -> None:
        await asyncio.gather(*(keep_sending(send, started_s + duration_s) for _ in range(connections)))

    return await _timed(url, make_body, send_all, duration_s)


async def saturate(url: str, make_body: MakeBody, connections: int, duration_s: float) -> Load:
    """:func:`at_once` behind a warm-up of the same: what the service can do."""
    await at_once(url, make_body, connections, _WARM_UP_SHARE * duration_s)
    return await at_once(url, make_body, connections, duration_s)


async def open_loop(url: str, make_body: MakeBody, arrivals_s: Sequence[float]) -> Load:
    """A request at each of ``arrivals_s`` (seconds from the start), timed from that moment and not from its send.

    Raises:
        ValueError: there are no arrivals.
    """
    if not arrivals_s:
        raise ValueError("no picture would be sent: the load is too short for its rate")

    async def send_all(send: _Send, started_s: float) -> None:
        sends = []
        for arrival_s in arrivals_s:
            await asyncio.sleep(started_s + arrival_s - time.perf_counter())
            sends.append(asyncio.create_task(send(started_s + arrival_s)))
        await asyncio.gather(*sends)

    return await _timed(url, make_body, send_all)


_Send = Callable[[float], Coroutine[None, None, None]]
"""Sends one picture; takes the moment at which it was to be sent."""


async def _timed(
    url: str,
    make_body: MakeBody,
    send_all: Callable[[_Send, float], Awaitable[None]],
    window_s: float | None = None,
) -> Load:
    ended: list[tuple[float, float, float, int, bytes]] = []

    async with Client(url) as client:

        async def send(intended_s: float) -> None:
            sent_s = time.perf_counter()
            status, body = NO_ANSWER, b""
            try:
                async with asyncio.timeout(CLIENT_TIMEOUT_S):
                    answer = await client.post(make_body())
                status, body = answer.status, answer.body
            except (OSError, TimeoutError):
                pass  # that there was no answer is what came of it
            ended.append((intended_s, sent_s, time.perf_counter(), status, body))

        started_s, cpu_s, busy_s = time.perf_counter(), time.process_time(), hardware.busy_s()
        await send_all(send, started_s)
        load = Load(
            started_s=started_s,
            elapsed_s=time.perf_counter() - started_s,
            client_cpu_s=time.process_time() - cpu_s,
            machine_cpu_s=hardware.busy_s() - busy_s,
            unasked_answers=client.unasked_answers,
        )
    # Not before all is over: reading answers would take time from a service on the same cores.
    load.outcomes = [
        outcome_of(intended_s - started_s, sent_s - started_s, ended_s - started_s, status, body)
        for intended_s, sent_s, ended_s, status, body in ended
    ]
    load.window_s = window_s or max(each.intended_s for each in load.outcomes) or load.elapsed_s
    return load
