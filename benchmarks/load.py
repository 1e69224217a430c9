"""Sending pictures over HTTP and timing the answers: the only module of the benchmarks that touches the network.

A request is a POST as pict-rs makes it: raw bytes, chunked, no ``Content-Length``, connections that are used again.
Nothing is sent twice and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

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


class Client:
    """As many connections to one URL as there are requests at once. Use it as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        """``user:password@`` in ``url`` becomes HTTP Basic."""
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(CLIENT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": USER_AGENT},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(
        self, body: bytes | AsyncIterable[bytes | memoryview], content_type: str = _JPEG
    ) -> tuple[int, bytes]:
        """Status and body of the answer; :data:`NO_ANSWER` and nothing if there was none."""
        chunked = True if isinstance(body, bytes) else None
        return await self._answer("POST", self._url, data=body, chunked=chunked, headers={"Content-Type": content_type})

    async def get(self, path: str) -> tuple[int, bytes]:
        """The same for another path of the same host."""
        return await self._answer("GET", urljoin(self._url, path))

    async def _answer(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("the client is used outside of its block")
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as answer:
                return answer.status, await answer.read()
        except aiohttp.InvalidURL:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError):
            return NO_ANSWER, b""


def fetched(url: str) -> str:
    """The text at ``url``; empty if there is no answer."""

    async def get() -> str:
        async with Client(url) as client:
            return (await client.get(""))[1].decode()

    return asyncio.run(get())


async def each_in_turn(
    url: str, make_body: MakeBody, requests: int, content_type: str = _JPEG, connections: int = 1
) -> Load:
    """So many requests by connections each of which sends when it is answered.

    One alone says what a picture costs when nothing else is going on.
    """
    left = iter(range(requests))

    async def keep_sending(send: _Send) -> None:
        for _request in left:
            await send(time.perf_counter())

    async def send_all(send: _Send, _: float) -> None:
        await asyncio.gather(*(keep_sending(send) for _ in range(connections)))

    return await _timed(url, make_body, send_all, content_type=content_type)


async def at_once(
    url: str, make_body: MakeBody, connections: int, duration_s: float, content_type: str = _JPEG
) -> Load:
    """As many requests as ``connections`` that never rest get through."""

    async def keep_sending(send: _Send, until_s: float) -> None:
        while time.perf_counter() < until_s:
            await send(time.perf_counter())

    async def send_all(send: _Send, started_s: float) -> None:
        await asyncio.gather(*(keep_sending(send, started_s + duration_s) for _ in range(connections)))

    return await _timed(url, make_body, send_all, duration_s, content_type)


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


@dataclass(frozen=True, slots=True)
class Saturation:
    """The load of ``connections`` that never rest."""

    connections: int
    load: Load

    @property
    def is_refused(self) -> bool:
        """Whether the service had more than it wanted."""
        return any(outcome.is_refused for outcome in self.load.outcomes)


async def find_capacity(
    url: str,
    make_body: MakeBody,
    duration_s: float,
    connections: int | None = None,
    on_try: Callable[[int], None] = lambda _: None,
) -> Saturation:
    """The load of the number of connections that gets most pictures through.

    With too few, batches stay small and cores idle; with too many, some are refused, and a client that never rests
    sends again at once. Their number is doubled until one is refused, and the best counts. That a doubling gained
    nothing says little about the next: batches fill in steps.

    Args:
        url: where pictures are sent.
        make_body: makes them.
        duration_s: seconds for each number of connections, behind a warm-up.
        connections: the only number to try.
        on_try: is told each number before it is tried.
    """
    tried = connections or FEWEST_CONNECTIONS
    on_try(tried)
    latest = best = Saturation(tried, await saturate(url, make_body, tried, duration_s))
    while connections is None and latest.load.goodput_per_s > 0 and not latest.is_refused and tried < MOST_CONNECTIONS:
        tried *= 2
        on_try(tried)
        latest = Saturation(tried, await saturate(url, make_body, tried, duration_s))
        best = max(best, latest, key=lambda each: each.load.goodput_per_s)
    return best


_Send = Callable[[float], Coroutine[None, None, None]]
"""Sends one picture; takes the moment at which it was to be sent."""


async def _timed(
    url: str,
    make_body: MakeBody,
    send_all: Callable[[_Send, float], Awaitable[None]],
    window_s: float | None = None,
    content_type: str = _JPEG,
) -> Load:
    ended: list[tuple[float, float, float, int, bytes]] = []

    async with Client(url) as client:

        async def send(intended_s: float) -> None:
            sent_s = time.perf_counter()
            status, body = await client.post(make_body(), content_type)
            ended.append((intended_s, sent_s, time.perf_counter(), status, body))

        started_s, cpu_s, busy_s = time.perf_counter(), time.process_time(), hardware.busy_s()
        await send_all(send, started_s)
        load = Load(
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
    load.window_s = window_s or max(each.intended_s for each in load.outcomes) or load.elapsed_s
    return load
