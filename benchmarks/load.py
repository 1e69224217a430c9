"""Sending pictures over HTTP and timing the answers: the only module of the benchmarks that touches the network.

A request is a POST as pict-rs makes it: raw bytes, chunked, no ``Content-Length``, connections that are used again.
Nothing is sent twice and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass

import aiohttp
import numpy as np
import psutil

from benchmarks import hardware
from benchmarks.bodies import MakeBody
from benchmarks.outcomes import NO_ANSWER, Load, Outcome
from benchmarks.processes import cpu_by_stage_s

USER_AGENT = "pict-rs v0.5.17 (pictwarden benchmark)"

# Longer than pict-rs' wall of 10 s, so that an answer that is late is seen to be late and not taken for none.
CLIENT_TIMEOUT_S = 30.0

STORED_OR_REJECTED = (200, 406)
"""Answers of a server that has seen the picture: 406 is Pictwarden's rejection."""

# No powers of two, as batches are: if as many wait as a pass takes, all come back at once and the cores idle between.
FEWEST_CONNECTIONS = 24
_CONNECTIONS = (FEWEST_CONNECTIONS, 48, 96, 192)

_WARM_UP_SHARE = 0.25
_JPEG = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Target:
    """What is loaded, and with what.

    Attributes:
        url: where pictures are sent. ``user:password@`` in it becomes HTTP Basic.
        make_body: gives the next picture.
        content_type: of the bodies.
        service: the first process behind ``url``; None where its processor time is not measured.
    """

    url: str
    make_body: MakeBody
    content_type: str = _JPEG
    service: psutil.Process | None = None


def session() -> aiohttp.ClientSession:
    """As many connections as there are requests at once."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(CLIENT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": USER_AGENT},
    )


async def post(
    client: aiohttp.ClientSession,
    url: str,
    body: bytes | AsyncIterable[bytes | memoryview],
    content_type: str = _JPEG,
) -> tuple[int, bytes]:
    """Status and body of the answer; :data:`NO_ANSWER` and nothing if there was none."""
    chunked = True if isinstance(body, bytes) else None
    headers = {"Content-Type": content_type}
    try:
        async with client.post(url, data=body, chunked=chunked, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.read()
    except aiohttp.InvalidURL:
        raise
    except (aiohttp.ClientError, OSError, TimeoutError):
        return NO_ANSWER, b""


def answer_to(url: str, body: bytes, content_type: str = _JPEG) -> int:
    """The status that one picture is answered with."""

    async def ask() -> int:
        async with session() as client:
            return (await post(client, url, body, content_type))[0]

    return asyncio.run(ask())


def fetched(url: str) -> tuple[int, str]:
    """Status and text of what is at ``url``; :data:`NO_ANSWER` and nothing if there is no answer."""

    async def get() -> tuple[int, str]:
        async with session() as client, client.get(url, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    try:
        return asyncio.run(get())
    except (aiohttp.ClientError, OSError, TimeoutError):
        return NO_ANSWER, ""


def each_in_turn(target: Target, requests: int, connections: int = 1, name: str = "") -> Load:
    """So many requests by connections each of which sends when it is answered.

    One alone says what a picture costs when nothing else is going on.
    """
    left = iter(range(requests))

    async def keep_sending(send: _Send, _: float) -> None:
        for _request in left:
            await send(time.perf_counter())

    return asyncio.run(_timed(target, [keep_sending] * connections, name))


def at_once(target: Target, connections: int, duration_s: float, name: str = "") -> Load:
    """As many requests as ``connections`` that never rest get through."""

    async def keep_sending(send: _Send, started_s: float) -> None:
        while time.perf_counter() < started_s + duration_s:
            await send(time.perf_counter())

    load = asyncio.run(_timed(target, [keep_sending] * connections, name))
    load.connections, load.window_s = connections, duration_s
    return load


def saturate(target: Target, connections: int, duration_s: float, name: str = "") -> Load:
    """:func:`at_once` behind a warm-up of the same: what the service can do."""
    at_once(target, connections, _WARM_UP_SHARE * duration_s)
    return at_once(target, connections, duration_s, name)


def poisson_arrivals_s(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Moments in ``0..duration_s``, ascending, of a Poisson process with ``rate_per_s``."""
    source = np.random.default_rng(seed)
    # Given their number, the arrivals of a Poisson process are uniform.
    moments: list[float] = np.sort(source.uniform(0.0, duration_s, source.poisson(rate_per_s * duration_s))).tolist()
    return moments


def open_loop(target: Target, arrivals_s: Sequence[float], name: str = "") -> Load:
    """A request at each of ``arrivals_s`` (seconds from the start), timed from that moment and not from its send.

    A service that stalls is charged for all that it kept waiting (Tene, "How NOT to Measure Latency": coordinated
    omission).

    Raises:
        ValueError: there are no arrivals.
    """
    if not arrivals_s:
        raise ValueError("no picture would be sent: the load is too short for its rate")

    async def send_all(send: _Send, started_s: float) -> None:
        async with asyncio.TaskGroup() as sends:
            for arrival_s in arrivals_s:
                await asyncio.sleep(started_s + arrival_s - time.perf_counter())
                sends.create_task(send(started_s + arrival_s))

    return asyncio.run(_timed(target, [send_all], name))


def find_capacity(target: Target, duration_s: float, connections: int | None = None) -> Load:
    """The load of the number of connections that gets most pictures through.

    With too few, batches stay small and cores idle; with too many, some are refused, and a client that never rests
    sends again at once. Their number is doubled until one is refused, and the best counts. That a doubling gained
    nothing says little about the next: batches fill in steps.

    Args:
        target: what is loaded.
        duration_s: seconds for each number of connections, behind a warm-up.
        connections: the only number to try.
    """
    loads: list[Load] = []
    for tried in (connections,) if connections else _CONNECTIONS:
        loads.append(saturate(target, tried, duration_s, "saturated"))
        if loads[-1].refused or loads[-1].goodput_per_s <= 0:
            break
    return max(loads, key=lambda each: each.goodput_per_s)


_Send = Callable[[float], Coroutine[None, None, None]]
"""Sends one picture; takes the moment at which it was to be sent."""


async def _timed(target: Target, senders: Sequence[Callable[[_Send, float], Awaitable[None]]], name: str) -> Load:
    """What came of all that ``senders`` send; each is given the moment at which the load began."""
    ended: list[tuple[float, float, float, int, bytes]] = []
    service_before_s = cpu_by_stage_s(target.service) if target.service else {}

    async with session() as client:

        async def send(intended_s: float) -> None:
            sent_s = time.perf_counter()
            status, body = await post(client, target.url, target.make_body(), target.content_type)
            ended.append((intended_s, sent_s, time.perf_counter(), status, body))

        started_s, cpu_s, busy_s = time.perf_counter(), time.process_time(), hardware.busy_s()
        await asyncio.gather(*(sender(send, started_s) for sender in senders))
        load = Load(
            name=name,
            started_s=started_s,
            elapsed_s=time.perf_counter() - started_s,
            client_cpu_s=time.process_time() - cpu_s,
            machine_cpu_s=hardware.busy_s() - busy_s,
        )
    service_after_s = cpu_by_stage_s(target.service) if target.service else {}
    # A process that ended meanwhile has taken its time with it.
    load.service_cpu_s = {stage: max(0.0, s - service_before_s.get(stage, 0.0)) for stage, s in service_after_s.items()}
    # Not before all is over: reading answers would take time from a service on the same cores.
    load.outcomes = [
        Outcome.of_answer(intended_s - started_s, sent_s - started_s, ended_s - started_s, status, body)
        for intended_s, sent_s, ended_s, status, body in ended
    ]
    load.window_s = max((each.intended_s for each in load.outcomes), default=0.0) or load.elapsed_s
    return load
