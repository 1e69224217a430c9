"""What pict-rs gets from a service that starts, and from one that is told to end under load; and what is left of it."""

import asyncio
import json
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from .conftest import SECRET, running
from .pictrs_client import PictrsClient

LONGEST_S = 8.5
SENDERS = 12

pytestmark = pytest.mark.timeout(180)


async def send_until(is_over, url, picture, number, outcomes):
    async with PictrsClient(url) as client:
        count = 0
        while not is_over():
            count += 1
            outcomes.append(await client.post(picture("blue", size=(20 + number, 20 + count % 900))))
            if outcomes[-1].status is None:
                await asyncio.sleep(0.05)


def test_nothing_is_lost_at_the_start_and_at_the_end(fake_config, tmp_path, picture):
    port = fake_config["http_options"]["port"]
    fake_config["applications"][0]["args"]["model"] = {"source": "fake:100ms"}
    url = f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}"
    at_start, at_end = [], []
    has_started, has_ended = threading.Event(), threading.Event()

    starting = threading.Thread(
        target=lambda: asyncio.run(send_until(has_started.is_set, url, picture, 0, at_start)), daemon=True
    )
    starting.start()
    with running(fake_config, tmp_path) as service:
        has_started.set()
        starting.join(30)

        async def load():
            await asyncio.gather(
                *(send_until(has_ended.is_set, url, picture, 1 + number, at_end) for number in range(SENDERS))
            )

        sending = threading.Thread(target=lambda: asyncio.run(load()), daemon=True)
        sending.start()
        while len(at_end) < 5 * SENDERS:
            assert sending.is_alive()
            has_ended.wait(0.05)
        folder = service.folder
        assert folder.is_dir()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        has_ended.set()
        sending.join(30)

    for outcome in at_start + at_end:
        assert outcome.elapsed_s < LONGEST_S, outcome
        assert outcome.status in (None, 200, 503), outcome
        if outcome.status is not None:
            assert SECRET.encode() not in outcome.body
            assert json.loads(outcome.body)["request_id"]
        if outcome.status == 503:
            assert int(outcome.headers["retry-after"]) > 0
    assert {outcome.status for outcome in at_start} >= {None, 503}, "refused, then told to come again"
    # What was sent to its end has an answer: only connections that were refused have none.
    assert not [outcome for outcome in at_end if outcome.is_sent_whole and outcome.status is None]
    assert [outcome for outcome in at_end if outcome.is_kept]

    assert not folder.exists()
    assert not [
        each for each in Path(tempfile.gettempdir()).glob("ray/session_*") if str(service.process.pid) in each.name
    ]
