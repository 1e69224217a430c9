"""What pict-rs gets from a service that starts, and from one that is told to end under load; and what is left of it."""

import asyncio
import copy
import json
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from .conftest import ONE_PROCESS, RAY, SECRET, STARTED, ended, free_port, is_free, running, written
from .pictrs_client import PictrsClient

LONGEST_S = 8.5
SENDERS = 12


async def send_until(is_over, url, picture, number, outcomes):
    async with PictrsClient(url) as client:
        count = 0
        while not is_over():
            count += 1
            outcomes.append(await client.post(picture("blue", size=(20 + number, 20 + count % 900))))
            if outcomes[-1].status is None:
                await asyncio.sleep(0.05)


def sessions():
    """Ray's folders of all that ever ran on this machine; numbers of processes come again."""
    return set(Path(tempfile.gettempdir()).glob("ray/session_*"))


@pytest.mark.parametrize("way", [RAY, ONE_PROCESS])
def test_nothing_is_lost_at_the_start_and_at_the_end(fake_config, way, tmp_path, picture):
    port = fake_config["http_options"]["port"]
    fake_config["applications"][0]["args"]["model"] = {"source": "fake:100ms"}
    url = f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}"
    at_start: list[Any] = []
    at_end: list[Any] = []
    has_started, has_ended = threading.Event(), threading.Event()

    sessions_before = sessions()
    starting = threading.Thread(
        target=lambda: asyncio.run(send_until(has_started.is_set, url, picture, 0, at_start)), daemon=True
    )
    starting.start()
    with running(fake_config, tmp_path, way) as service:
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
        folder = service.folder if way == RAY else None
        assert folder is None or folder.is_dir()
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

    assert folder is None or not folder.exists()
    assert not {each for each in sessions() - sessions_before if each.name.endswith(f"_{service.process.pid}")}


def test_a_start_whose_samples_are_not_scanned_is_no_success(fake_config, tmp_path):
    config = copy.deepcopy(fake_config)
    config["applications"][0]["args"]["deadline_s"] = 0.001
    config["http_options"]["port"] = port = free_port()
    done = ended(RAY, tmp_path, "--config", written(config, tmp_path), timeout_s=150)
    assert done.returncode == 1, done.stdout
    assert "4 of 4 sample pictures were not scanned (deadline: " in done.stdout
    assert STARTED not in done.stdout
    assert is_free(port)


@pytest.mark.parametrize("way", [RAY, ONE_PROCESS])
def test_a_model_that_is_named_leaves_the_other_settings_of_a_configuration(fake_config, way, tmp_path):
    config = copy.deepcopy(fake_config)
    config["applications"][0]["args"]["model"]["cpu_threads"] = 0
    config["http_options"]["port"] = free_port()
    done = ended(way, tmp_path, "--config", written(config, tmp_path), "--model", "random:ViT-B-32")
    assert done.returncode == 1
    assert "cpu_threads" in done.stdout + done.stderr
