"""Sending pictures over HTTP and timing the answers: the only module of the benchmarks that touches the network.

A request is a POST as pict-rs makes it: raw bytes, chunked, no ``Content-Length``, connections that are used again.
Nothing is sent twice and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Sequence

import aiohttp

from benchmarks import hardware
from benchmarks.bodies import MakeBody
from benchmarks.outcomes import NO_ANSWER, Load, Outcome

USER_AGENT = "pict-rs v0.5.17 (pictwarden benchmark)"

# Longer than pict-rs' wall of 10 s, so that an answer that is late is seen to be late and not taken for none.
CLIENT_TIMEOUT_S = 30.0

STORED_OR_REJECTED = (200, 406)
"""Answers of a server that has seen the picture: 406 is Pictwarden's rejection."""

# Not a power of two, as batches are: if as many wait as a pass takes, all come back at once and the cores idle between.
FEWEST_CONNECTIONS = 24
MOST_CONNECTIONS = 192

_WARM_UP_SHARE = 0.25
_JPEG = "image/jpeg"


def session() -> aiohttp.ClientSession:
    """As many connections as there are requests at once. ``user:password@`` in a URL becomes HTTP Basic."""
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


def each_in_turn(
    url: str, make_body: MakeBody, requests: int, content_type: str = _JPEG, connections: int = 1, name: str = ""
) -> Load:
    """So many requests by connections each of which sends when it is answered.

    One alone says what a picture costs when nothing else is going on.
    """
    left = iter(range(requests))

    async def keep_sending(send: _Send, _: float) -> None:
        for _request in left:
            await send(time.perf_counter())

    return asyncio.run(_timed(url, make_body, [keep_sending] * connections, content_type, name))


def at_once(
    url: str, make_body: MakeBody, connections: int, duration_s: float, content_type: str = _JPEG, name: str = ""
) -> Load:
    """As many requests as ``connections`` that never rest get through."""

    async def keep_sending(send: _Send, started_s: float) -> None:
        while time.perf_counter() < started_s + duration_s:
            await send(time.perf_counter())

    load = asyncio.run(_timed(url, make_body, [keep_sending] * connections, content_type, name))
    load.connections, load.window_s = connections, duration_s
    return load


def saturate(url: str, make_body: MakeBody, connections: int, duration_s: float, name: str = "") -> Load:
    """:func:`at_once` behind a warm-up of the same: what the service can do."""
    at_once(url, make_body, connections, _WARM_UP_SHARE * duration_s)
    return at_once(url, make_body, connections, duration_s, name=name)


def open_loop(url: str, make_body: MakeBody, arrivals_s: Sequence[float], name: str = "") -> Load:
    """A request at each of ``arrivals_s`` (seconds from the start), timed from that moment and not from its send.

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

    return asyncio.run(_timed(url, make_body, [send_all], name=name))


def find_capacity(url: str, make_body: MakeBody, duration_s: float, connections: int | None = None) -> Load:
    """The load of the number of connections that gets most pictures through.

    With too few, batches stay small and cores idle; with too many, some are refused, and a client that never rests
    sends again at once. Their number is doubled until one is refused, and the best counts. That a doubling gained
    nothing says little about the next: batches fill in steps.

    Args:
        url: where pictures are sent.
        make_body: makes them.
        duration_s: seconds for each number of connections, behind a warm-up.
        connections: the only number to try.
    """
    tried = connections or FEWEST_CONNECTIONS
    loads = [saturate(url, make_body, tried, duration_s, "saturated")]
    while connections is None and tried < MOST_CONNECTIONS and loads[-1].goodput_per_s > 0:
        if any(outcome.is_refused for outcome in loads[-1].outcomes):
            break
        tried *= 2
        loads.append(saturate(url, make_body, tried, duration_s, "saturated"))
    return max(loads, key=lambda each: each.goodput_per_s)


_Send = Callable[[float], Coroutine[None, None, None]]
"""Sends one picture; takes the moment at which it was to be sent."""


async def _timed(
    url: str,
    make_body: MakeBody,
    senders: Sequence[Callable[[_Send, float], Awaitable[None]]],
    content_type: str = _JPEG,
    name: str = "",
) -> Load:
    """What came of all that ``senders`` send; each is given the moment at which the load began."""
    ended: list[tuple[float, float, float, int, bytes]] = []

    async with session() as client:

        async def send(intended_s: float) -> None:
            sent_s = time.perf_counter()
            status, body = await post(client, url, make_body(), content_type)
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
    # Not before all is over: reading answers would take time from a service on the same cores.
    load.outcomes = [
        Outcome.of_answer(intended_s - started_s, sent_s - started_s, ended_s - started_s, status, body)
        for intended_s, sent_s, ended_s, status, body in ended
    ]
    load.window_s = max((each.intended_s for each in load.outcomes), default=0.0) or load.elapsed_s
    return load
