"""Clocks that are an hour apart: nothing that a front and its workers say to each other depends on them.

The command faketime cannot be used: CPython's waits fail or never end under it. So a worker's own Python says another
time of day, and its monotonic clock is that of a time namespace, where it may have one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import Front, all_scanned
from tests.e2e.remote.processes import until
from tests.serve.conftest import ROOT

HOUR_S = 3600
SHIFTED = """\
import time
of, of_ns = time.time, time.time_ns
time.time = lambda: of() + {shift_s}
time.time_ns = lambda: of_ns() + {shift_s} * 10**9
"""
MONOTONIC = ("unshare", "--time", f"--monotonic={HOUR_S}")
MONOTONIC_ASKED = (sys.executable, "-c", "import time; print(time.monotonic())")


def shifted(folder: Path, shift_s: int) -> dict[str, str]:
    """The environment of a process to which it is another time of day."""
    own = folder / f"shifted-{shift_s}"
    own.mkdir()
    (own / "sitecustomize.py").write_text(SHIFTED.format(shift_s=shift_s), "utf-8")
    environment = {"PYTHONPATH": os.pathsep.join([str(own), str(ROOT)])}
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(asked, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout
    assert abs(float(told) - time.time()) > HOUR_S / 2, "the shift does not work"
    return environment


@pytest.fixture
def in_another_time() -> tuple[str, ...]:
    """A command that becomes another one in a time namespace; nothing where there can be none."""
    told = subprocess.run([*MONOTONIC, *MONOTONIC_ASKED], capture_output=True, text=True, check=False).stdout
    is_shifted = bool(told) and abs(float(told) - time.monotonic()) > HOUR_S / 2
    return MONOTONIC if is_shifted else ()


async def test_workers_an_hour_ahead_and_behind(
    front: Front, working: Working, tmp_path: Path, in_another_time: tuple[str, ...]
) -> None:
    before = front.process.said("has joined")
    ahead, behind = (shifted(tmp_path, shift_s) for shift_s in (HOUR_S, -HOUR_S))
    with (
        working(front.remote_url, environment=ahead, prefix=in_another_time) as one,
        working(front.remote_url, owner="rented", environment=behind) as other,
    ):
        await until(lambda: front.process.said("has joined") >= before + 2, told=front.process.text)
        assert all_scanned(await front.scan_all(20, per_s=40))
        one.kill()
        assert all_scanned(await front.scan_all(10, per_s=20))
        assert other.is_running
