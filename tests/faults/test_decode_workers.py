"""Decoders that hang, bloat, crash and fail, in real processes: what it costs, what is answered, what is left."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    LoadSignals,
    OverloadedError,
    StalledError,
    TooLargeError,
    UnavailableError,
    UndecodableError,
    UnsupportedError,
    ViewPlace,
)
from serve_app.media.confinement import landlock_version
from serve_app.media.workers.worker_process import WorkerProcess
from tests.unit.logs.json_lines import json_log

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PATIENT_S = 30.0


async def ask(workers, body, remaining_s=PATIENT_S):
    return await workers.preprocess(body.encode(), 32, Call("r-1", Deadline.after(remaining_s)), LoadSignals())


async def answering_pid(workers):
    views = await ask(workers, "views")
    return int(views.media_type.removeprefix("image/"))


async def ended(pids):
    """Returns once none of these processes is there any more; the test's timeout is the only limit."""
    await asyncio.gather(*(asyncio.to_thread(_wait_end, pid) for pid in pids))


def _wait_end(pid):
    try:
        psutil.wait_procs([psutil.Process(pid)])
    except psutil.NoSuchProcess:
        return


async def test_views_cross_unchanged(start):
    workers = start()
    views = await ask(workers, "views")
    assert views.pixels.shape == (3, 32, 32, 3)
    assert views.pixels.dtype == np.uint8
    assert (views.pixels == 7).all()
    assert views.places == tuple(ViewPlace(number, (0.0, 0.25, 0.5, 1 / 3)) for number in range(3))
    assert (views.frames_seen, views.frames_total) == (3, 9)
    assert int(views.media_type.removeprefix("image/")) in workers.pids()


@pytest.mark.parametrize(
    "kind",
    [UndecodableError, UnsupportedError, TooLargeError, DeadlineExceededError, OverloadedError, UnavailableError],
)
async def test_errors_of_the_domain_cross_unchanged_and_cost_nothing(start, kind):
    workers = start()
    before = workers.pids()
    with pytest.raises(kind) as caught:
        await ask(workers, f"raise {kind.__name__}")
    assert (type(caught.value), str(caught.value)) == (kind, f"a message of {kind.__name__}")
    assert (workers.pids(), workers.lost) == (before, 0)


async def test_an_unexpected_error_is_unavailable_and_its_text_goes_nowhere(start, decoder, caplog, capfd):
    workers = start()
    with caplog.at_level(logging.DEBUG), pytest.raises(UnavailableError) as caught:
        await ask(workers, "fail")
    said = str(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert "decoding failed: a fault of this program at " in caplog.text
    assert "hostile_decoder.py:" in caplog.text
    assert "LookupError" not in caplog.text
    assert decoder.SECRET_TEXT not in said


async def test_a_decode_over_its_time_is_killed_and_its_worker_replaced(start):
    workers = start(max_decode_s=0.3)
    before = workers.pids()
    with pytest.raises(UndecodableError, match="took longer than max_decode_s"):
        await ask(workers, "hang")
    await ended(before)
    assert workers.lost == 1
    assert await answering_pid(workers) not in before


async def test_time_in_which_the_machine_stood_still_counts_against_nobody(start, fifo):
    workers = start(max_decode_s=0.3)
    (pid,) = workers.pids()
    decoding = asyncio.create_task(ask(workers, f"compute {fifo}"))
    await asyncio.to_thread(fifo.read_text)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "views", remaining_s=0.5)
    os.kill(pid, signal.SIGCONT)
    assert (await decoding).frames_seen == 3
    assert await answering_pid(workers) == pid


@pytest.mark.parametrize("stops", [False, True])
async def test_bytes_that_stall_twice_are_refused_and_not_for_ever(start, tmp_path, monkeypatch, stops):
    """By a decoder that waits for ever, or in a worker that is stopped."""
    workers = start(max_decode_s=0.1)
    body = f"wait {tmp_path / 'never'}"
    os.mkfifo(tmp_path / "never")

    async def stall(error):
        (pid,) = workers.pids()
        asked = asyncio.create_task(ask(workers, body, remaining_s=2.0))
        if stops:
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DeadlineExceededError) as caught:
            await asked
        assert type(caught.value) is error
        await ended([pid])
        await answering_pid(workers)

    await stall(DeadlineExceededError)
    await stall(StalledError)
    before = workers.pids()
    with pytest.raises(StalledError):
        await ask(workers, body)
    assert workers.pids() == before, "they were not decoded"


async def test_a_decode_past_the_deadline_is_answered_at_once_and_killed_soon(start):
    workers = start()
    before = workers.pids()
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "hang", remaining_s=1.0)
    await ended(before)
    assert await answering_pid(workers) not in before


async def test_a_deadline_that_passes_while_waiting_for_a_worker(start, fifo):
    workers = start()
    first = asyncio.create_task(ask(workers, f"wait {fifo}"))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "views", remaining_s=0.05)
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "views", remaining_s=0)
    await asyncio.to_thread(fifo.write_text, "go on")
    assert (await first).frames_seen == 3


async def test_what_waits_for_a_worker_is_told_in_seconds(start, fifo):
    workers = start()
    assert (workers.picture_s, workers.predicted_wait_s) == (0.0, 0.0)
    await ask(workers, "views")
    assert workers.picture_s > 0.0
    asked = [asyncio.create_task(ask(workers, body)) for body in (f"wait {fifo}", "views", "views")]
    await asyncio.sleep(0)
    assert workers.predicted_wait_s == pytest.approx(2 * workers.picture_s)
    await asyncio.to_thread(fifo.write_text, "go on")
    await asyncio.gather(*asked)
    assert workers.predicted_wait_s == 0.0


async def test_a_caller_that_goes_away_leaves_no_decode_behind(start, fifo):
    workers = start(max_decode_s=0.5)
    before = workers.pids()
    caller = asyncio.create_task(ask(workers, f"hang {fifo}"))
    assert int(await asyncio.to_thread(fifo.read_text)) in before
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await ended(before)
    assert await answering_pid(workers) not in before


@pytest.mark.parametrize("action", ["allocate", "allocate-in-a-decoder"])
async def test_a_decode_over_its_memory_is_too_large_and_its_worker_lives(start, action):
    workers = start(max_decode_memory_bytes=200_000_000)
    before = workers.pids()
    with pytest.raises(TooLargeError, match="max_decode_memory_bytes"):
        await ask(workers, f"{action} 4000000000")
    assert await ask(workers, f"{action} 150000000")
    assert workers.pids() == before


@pytest.mark.parametrize("way", ["segfault", "exit"])
async def test_bytes_that_killed_two_workers_are_never_decoded_again(start, way):
    workers = start(2)
    before = workers.pids()
    with pytest.raises(UndecodableError, match="these bytes killed"):
        await ask(workers, way)
    await ended(before)
    assert workers.lost == 2
    assert await answering_pid(workers) not in before
    with pytest.raises(UndecodableError, match="these bytes killed"):
        await ask(workers, way)
    assert workers.lost == 2, "they were not decoded"
    assert not workers.pids() & before


async def test_bytes_that_were_in_a_worker_that_died_are_tried_once_more(start, tmp_path):
    workers = start()
    before = workers.pids()
    for number in range(3):
        # A success clears the loss before it: otherwise the second death would condemn these bytes.
        mark = tmp_path / "died"
        assert (await ask(workers, f"die-once {mark}")).frames_seen == 3, number
        mark.rmdir()
    assert not workers.pids() & before


async def test_a_crash_does_not_cost_the_neighbours(start, fifo):
    workers = start(2)
    neighbour = asyncio.create_task(ask(workers, f"wait {fifo}"))
    with pytest.raises(UndecodableError):
        await ask(workers, "segfault")
    await asyncio.to_thread(fifo.write_text, "go on")
    assert (await neighbour).frames_seen == 3


async def test_a_worker_that_died_while_idle_costs_no_picture_a_strike(start):
    workers = start()
    for _ in range(3):
        (pid,) = workers.pids()
        os.kill(pid, signal.SIGKILL)
        await ended([pid])
        workers.require_alive()
        assert await answering_pid(workers) != pid


async def test_a_worker_that_died_while_idle_leaves_no_zombie(start):
    workers = start()
    (pid,) = workers.pids()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(_wait_reaped, pid)
    assert not workers.pids()


def _wait_reaped(pid):
    """Without reaping it, and without asking the workers."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_without_a_worker_that_starts_the_health_check_fails(start, monkeypatch, tmp_path):
    workers = start()
    workers.require_alive()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "exit", remaining_s=1)
    with pytest.raises(UnavailableError):
        workers.require_alive()


async def test_closing_answers_who_waits_and_leaves_no_process(start, fifo):
    workers = start()
    pids = workers.pids()
    decoding = asyncio.create_task(ask(workers, f"hang {fifo}"))
    waiting = asyncio.create_task(ask(workers, "views"))
    await asyncio.to_thread(fifo.read_text)
    workers.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    answers = await asyncio.gather(decoding, waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError, UnavailableError]
    with pytest.raises(UnavailableError):
        workers.require_alive()
    with pytest.raises(UnavailableError):
        await ask(workers, "views")


OWNER = """\
import asyncio, signal, sys
sys.path.insert(0, {folder!r})
import hostile_decoder
from serve_app.domain import Call, Deadline, LoadSignals
from serve_app.media import MediaLimits
from serve_app.media.workers import DecodeWorkers

async def main():
    signal.signal(signal.SIGHUP, lambda *_: None)
    workers = DecodeWorkers(MediaLimits(), 2, hostile_decoder.decode, reachable=[{reachable!r}])
    print(*workers.pids(), flush=True)
    await workers.preprocess(b"hang {fifo}", 32, Call("r-1", Deadline.after(60)), LoadSignals())

asyncio.run(main())
"""


def test_workers_end_with_an_owner_that_was_killed_also_in_the_middle_of_a_decode(fifo):
    code = OWNER.format(folder=str(FOLDER), fifo=fifo, reachable=str(fifo.parent))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        idle_and_busy = [int(pid) for pid in owner.stdout.readline().split()]
        assert int(fifo.read_text()) in idle_and_busy
        owner.kill()
        for pid in idle_and_busy:
            _wait_end(pid)


def test_a_hang_up_of_the_terminal_ends_no_worker(fifo):
    code = OWNER.format(folder=str(FOLDER), fifo=fifo, reachable=str(fifo.parent))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        idle_and_busy = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        fifo.read_text()
        os.killpg(owner.pid, signal.SIGHUP)
        assert all(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in idle_and_busy)
        owner.kill()
        for each in idle_and_busy:
            _wait_end(each.pid)


async def test_workers_write_no_core_and_know_no_secret(start, monkeypatch):
    monkeypatch.setenv("PICTWARDEN_SECRETS", "a-secret-of-the-tests")
    (pid,) = start().pids()
    worker = psutil.Process(pid)
    assert worker.rlimit(resource.RLIMIT_CORE) == (1, 1)
    assert "a-secret-of-the-tests" not in worker.environ().values()


async def test_workers_compute_with_the_instructions_of_their_owner(start, monkeypatch):
    """Otherwise one picture has two fingerprints, which differ by the bits near their median."""
    told = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    (pid,) = start().pids()
    assert told.items() <= psutil.Process(pid).environ().items()


@pytest.fixture
def confined():
    if landlock_version() < 6:
        pytest.skip("this kernel has no Landlock that covers files, connections and signals (Linux 6.12)")


async def test_a_decoder_reaches_nothing_of_the_service(confined, start, tmp_path_factory, decoder):
    secret = tmp_path_factory.mktemp("state") / "secret"
    secret.write_text("a-secret-of-the-tests")
    (workers, own) = (start(), os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for attempt in (
            *(f"reach {path}" for path in (secret, secret.parent, "/etc/passwd", ROOT / "pyproject.toml")),
            *(f"reach /proc/{own}/{file}" for file in ("environ", "mem", "maps", "cmdline")),
            *(f"reach {path}" for path in ("/proc", "/proc/self/environ", "/dev/shm", "/tmp")),
            f"connect {listening.getsockname()[1]}",
            f"kill {own}",
        ):
            with pytest.raises(UnsupportedError, match="denied"):
                await ask(workers, attempt)
    for library in (sys.executable, np.__file__, decoder.domain.__file__):
        await ask(workers, f"reach {library}")
    assert workers.lost == 0


async def test_where_the_kernel_cannot_confine_decoders_the_log_says_so(start, monkeypatch, caplog):
    start()
    assert "Landlock" not in caplog.text or landlock_version() == 0
    wait_ready = WorkerProcess.wait_ready
    monkeypatch.setattr(WorkerProcess, "wait_ready", lambda worker: wait_ready(worker) and False)
    assert (await ask(start(), "views")).frames_seen == 3
    assert "this kernel has no Landlock" in caplog.text


async def test_each_line_of_the_owner_names_the_request_and_the_worker_writes_none(start, capfd):
    workers = start()
    with json_log() as lines:
        with pytest.raises(UnavailableError):
            await ask(workers, "fail")
        with pytest.raises(UndecodableError):
            await ask(workers, "segfault")
        await ask(workers, "print")
        told = lines()
    assert {each["event"] for each in told} == {"decoding_failed", "decode_worker_lost"}
    assert {each["request_id"] for each in told} == {"r-1"}
    assert capfd.readouterr() == ("", "")


async def test_a_place_is_kept_while_no_thread_can_be_started(start, monkeypatch, caplog):
    workers = start()
    failures = [RuntimeError("can't start new thread")]

    def start_worker(setup):
        if failures:
            raise failures.pop()
        return WorkerProcess(setup)

    monkeypatch.setattr("serve_app.media.workers.pool.WorkerProcess", start_worker)
    with pytest.raises(UndecodableError):
        await ask(workers, "segfault")
    assert not failures
    assert (await ask(workers, "views")).frames_seen == 3
    assert "can't start new thread; the 1. time in a row" in caplog.text
