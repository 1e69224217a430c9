"""A real service as pict-rs meets it: cut and long bodies, and a front end and an ingress that are stopped or killed.

In none of it does an answer, or the end of the connection, take longer than the deadline and half a second, and
nothing is kept that was not scanned to its end.
"""

import asyncio
import json
import struct
import time
import zlib

import psutil
import pytest

from .conftest import SECRET
from .pictrs_client import PictrsClient

LONGEST_S = 8.5
PICTRS_LIMIT_BYTES = 41_943_040
LIMIT_BYTES = 64_000_000

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def config(fake_config):
    return fake_config


def padded(png, size_bytes):
    """The same picture, made longer by a private chunk that every reader passes over."""
    data = bytes(size_bytes - len(png) - 12)
    chunk = b"prVt" + data
    end = png.index(b"IEND") - 4
    return png[:end] + struct.pack(">I", len(data)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[end:]


async def send(client, body, **options):
    outcome = await client.post(body, **options)
    assert outcome.elapsed_s < LONGEST_S, outcome
    assert SECRET.encode() not in outcome.body
    if outcome.status is not None:
        assert outcome.headers["content-type"] == "application/json"
        assert json.loads(outcome.body)["request_id"]
    if outcome.status == 503:
        assert int(outcome.headers["retry-after"]) > 0
    return outcome


async def until_kept(client, picture, colour, timeout_s=60.0):
    """Send pictures until one is kept again; the outcomes before it."""
    give_up_s, before = time.monotonic() + timeout_s, []
    while not (outcome := await send(client, picture(colour, size=(64, 41 + len(before) % 900)))).is_kept:
        assert time.monotonic() < give_up_s, before[-1]
        before.append(outcome)
        await asyncio.sleep(0.1)
    return before


def haproxy(service):
    (found,) = [each for each in service.processes() if each.name() == "haproxy"]
    return found


async def test_one_connection_carries_many_pictures(service, picture):
    async with PictrsClient(service.url) as client:
        for number in range(5):
            assert (await send(client, picture("blue", size=(50, 50 + number)))).status == 200
        assert (await send(client, picture("red"))).status == 406
        assert client.connections == 1


async def test_a_cut_body_and_an_empty_one_are_not_kept(service, picture):
    body = picture("blue", size=(300, 200))
    async with PictrsClient(service.url) as client:
        assert (await send(client, b"")).status == 400
        assert (await send(client, body[: len(body) // 2])).status == 422
        assert (await send(client, body, cut_after=len(body) // 2)).status is None
        assert (await send(client, body)).status == 200


@pytest.mark.parametrize(
    ("size_bytes", "status"), [(PICTRS_LIMIT_BYTES, 200), (LIMIT_BYTES, 200), (LIMIT_BYTES + 1, 413)]
)
async def test_a_long_body_is_scanned_up_to_the_limit(service, picture, size_bytes, status):
    body = padded(picture("green"), size_bytes)
    assert len(body) == size_bytes
    async with PictrsClient(service.url) as client:
        # What is over the limit is answered before its end, and the rest is not read: the connection may be closed
        # before the answer is seen.
        assert (await send(client, body)).status in ((status,) if status == 200 else (status, None))


async def test_a_front_end_that_is_killed_is_back(service, picture):
    async with PictrsClient(service.url) as client:
        assert (await send(client, picture("blue"))).is_kept
        victim = haproxy(service)
        victim.kill()
        began_s = time.monotonic()
        await until_kept(client, picture, "blue")
        assert time.monotonic() - began_s < LONGEST_S
        assert haproxy(service).pid != victim.pid


async def test_a_front_end_that_is_stopped_is_replaced(service, picture):
    async with PictrsClient(service.url) as client:
        assert (await send(client, picture("blue"))).is_kept
        victim = haproxy(service)
        victim.suspend()
        assert (await send(client, picture("blue"))).status is None
        await until_kept(client, picture, "blue")
        assert haproxy(service).pid != victim.pid


async def test_an_ingress_that_is_stopped_is_answered_for(service, picture):
    (ingress,) = service.replicas("Ingress")
    async with PictrsClient(service.url) as client:
        ingress.suspend()
        try:
            outcome = await send(client, picture("blue", size=(70, 70)))
        finally:
            ingress.resume()
        assert (outcome.status, json.loads(outcome.body)["reason"]) == (503, "unavailable")
        await until_kept(client, picture, "blue")


async def test_no_ingress_at_all_is_answered_for(service, picture):
    (ingress,) = service.replicas("Ingress")
    ingress.kill()
    psutil.wait_procs([ingress], 10)
    async with PictrsClient(service.url) as client:
        before = await until_kept(client, picture, "blue", timeout_s=120)
    assert before
    assert {outcome.status for outcome in before} == {503}
