"""Decode workers whose decoder does what a body says, and a way to speak with it."""

import importlib
import os
from pathlib import Path

import psutil
import pytest

from serve_app.media import MediaLimits
from serve_app.media.workers import DecodeWorkers

FOLDER = Path(__file__).parent


@pytest.fixture
def decoder(monkeypatch):
    """The decoder of these tests, importable by its name also in a worker."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("hostile_decoder")


@pytest.fixture
def start(decoder, tmp_path):
    """Start workers, whose decoder speaks to the test in ``tmp_path``; asserts that nothing of them is left."""
    started = []

    def start(count=1, **limits):
        workers = DecodeWorkers(MediaLimits(**limits), count, decoder.decode, reachable=[tmp_path])
        started.append(workers)
        return workers

    before = set(psutil.Process().children())
    yield start
    for workers in started:
        workers.close()
    assert set(psutil.Process().children()) <= before


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path
