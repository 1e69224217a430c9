"""A worker behind a link that is slow, stands still, is reset or cut: each picture is answered in time, and once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from benchmarks.remote_parts.relay import Link, Relay, Way, relaying
from benchmarks.remote_parts.workers import Connection, accepted, work_at
from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import RED, UNSCANNED, Front, all_scanned, secret_of, somebody

HOME = Link(delay_s=0.02, bytes_per_s=20e6 / 8)
"""40 ms there and back, 20 Mbit/s each way."""

NEAR = Link(delay_s=0.002)

VIEW_S, SLOW_VIEW_S = 0.01, 0.1
PICTURE_BYTES = 150_528
"""Of a view of 224 px: the least that a picture has."""
HAPPENS_WITHIN_S = 30.0


@contextlib.asynccontextmanager
async def worker(front: Front, url: str, view_s: float = VIEW_S) -> AsyncIterator[Connection]:
    """A trusted one that answers, until the block ends; a view takes it ``view_s``."""
    async with accepted(url, secret_of(somebody()), "tested", view_s) as connection:
        working = asyncio.create_task(work_at(connection, view_s))
        try:
            await front.trusts(connection.name)
            yield connection
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@contextlib.asynccontextmanager
async def behind_a_relay(front: Front, link: Link) -> AsyncIterator[Relay]:
    """A worker that answers, behind a relay."""
    async with relaying(front.remote_port, link) as relay, worker(front, relay.url):
        yield relay


@pytest.mark.parametrize("fault", [Relay.reset, Relay.swallow, Relay.stall])
@pytest.mark.parametrize(("way", "after_bytes"), [(Way.TO_WORKER, PICTURE_BYTES // 2), (Way.TO_FRONT, 20)])
async def test_a_fault_in_mid_frame_with_another_worker(front: Front, fault, way: Way, after_bytes: int) -> None:
    """The other one is slow, so that the pictures are not with it; it takes them over."""
    async with behind_a_relay(front, NEAR) as relay, worker(front, front.remote_url, SLOW_VIEW_S):
        happened = asyncio.Event()
        relay.after(after_bytes, way, lambda: fault(relay))
        relay.after(after_bytes, way, happened.set)
        # Which worker gets a picture is the front's choice.
        async with asyncio.timeout(HAPPENS_WITHIN_S):
            sent = await front.scan_until(happened, per_s=8)
        assert all_scanned([*sent, *await front.scan_all(16, per_s=8)])


async def test_a_cut_cable_of_the_only_worker_and_its_way_back(front: Front, working: Working) -> None:
    async with relaying(front.remote_port, HOME) as relay:
        with working(relay.url) as process:
            await front.has_worker()
            relay.after(PICTURE_BYTES // 2, Way.TO_WORKER, relay.swallow)
            sent = await front.scan_all(10, per_s=10)
            assert {each.status for each in sent} == {UNSCANNED}
            relay.heal()
            await front.has_worker()
            assert (await front.scan_one(RED)).outcome.is_scanned
            assert process.is_running


async def test_a_link_that_stood_still_for_a_second(front: Front) -> None:
    async with behind_a_relay(front, HOME) as relay:
        sending = asyncio.create_task(front.scan_all(10, per_s=10))
        relay.stall()
        asyncio.get_running_loop().call_later(1.0, relay.heal)
        assert all_scanned(await sending)
