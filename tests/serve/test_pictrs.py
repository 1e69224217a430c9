"""A real service as pict-rs meets it while its front end and its ingress are stopped or killed.

In none of it does an answer, or the end of the connection, take longer than the deadline and half a second, and
nothing is kept that was not scanned to its end.
"""

import asyncio
import json
import time
from typing import Any

import psutil
import pytest

from tests.processes import unless_ended

from .conftest import wait_for
from .pictrs_client import PictrsClient
from .pictrs_client import send_as_pictrs as send

LONGEST_S = 8.5


@pytest.fixture(scope="module")
def config(fake_config):
    return fake_config


async def until_kept(client, picture, colour, timeout_s=60.0):
    """Send pictures until one is kept again; the outcomes before it."""
    before: list[Any] = []
    give_up_s = time.monotonic() + timeout_s
    while not (outcome := await send(client, picture(colour, size=(64, 41 + len(before) % 900)))).is_kept:
        assert time.monotonic() < give_up_s, before[-1]
        before.append(outcome)
        await asyncio.sleep(0.1)
    return before


def haproxy(service):
    """The one that is left: for a moment there are two, while one takes the place of the other."""
    found: list[psutil.Process] = []

    def is_alone():
        found[:] = [each for each in service.processes() if unless_ended(each.name) == "haproxy"]
        return len(found) == 1

    wait_for(is_alone)
    return found[0]


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
    # On a connection that has been used, HAProxy may leave it to the client to send again, without an answer.
    async with PictrsClient(service.url, keeps_connection=False) as client:
        before = await until_kept(client, picture, "blue", timeout_s=120)
    assert before
    assert {outcome.status for outcome in before} == {503}
