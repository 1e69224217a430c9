"""What the suites about pict-rs share: a stand-in with its traps, and a real one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from benchmarks.pictrs_process import BINARY, MISSING
from serve_app.pictrs import API_KEY_ENV, PictrsClient, open_pictrs
from serve_app.settings import PictrsSettings
from tests.contract.pictrs.stand_in import API_KEY, standing_in
from tests.e2e.pictrs import server


def open_at(
    url: str, api_key: str, public_endpoint: str | None = None
) -> contextlib.AbstractAsyncContextManager[PictrsClient]:
    settings = PictrsSettings(url=url, public_endpoint=public_endpoint)
    return open_pictrs(settings, {API_KEY_ENV: api_key})


def a_moment_later() -> datetime:
    """Now, but later than anything that has happened: the clock counts in whole microseconds."""
    before = datetime.now(UTC)
    while (now := datetime.now(UTC)) == before:
        pass
    return now


@dataclass(frozen=True)
class Pictrs:
    """The client, and what uploads beside it."""

    client: PictrsClient
    url: str
    store: Callable[[bytes], Awaitable[str]]


@pytest.fixture(scope="module")
def real():
    if not BINARY.is_file():
        pytest.skip(MISSING)
    with server.running_pictrs() as started:
        yield started


@pytest.fixture(params=["stand-in", pytest.param("pict-rs", marks=pytest.mark.pictrs)])
async def pictrs(request: pytest.FixtureRequest) -> AsyncIterator[Pictrs]:
    if request.param == "stand-in":
        async with standing_in() as stand_in, open_at(stand_in.url, API_KEY) as client:

            async def store(body: bytes) -> str:
                return stand_in.store(body)

            yield Pictrs(client, stand_in.url, store)
    else:
        real: server.PictRs = request.getfixturevalue("real")

        async def upload(body: bytes) -> str:
            (alias,) = (await asyncio.to_thread(real.upload, body)).aliases
            return alias

        async with open_at(real.url, server.API_KEY) as client:
            yield Pictrs(client, real.url, upload)
