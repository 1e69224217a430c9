"""``pictwarden storage scan`` that is stopped, killed, or watches until then."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading

import pytest

from tests.unit.cli.conftest import StandIn
from tests.unit.cli.storage_bench import COMMAND, LIMIT_S, Bench

LOOKING_OFTEN = f"import serve_app.cli.storage.order as order; order.LOOK_EVERY_S = 0.1; {COMMAND}"


def test_ctrl_c_finishes_what_has_begun_and_the_next_run_does_the_rest(bench: Bench, service: StandIn) -> None:
    for number in range(30):
        bench.write(f"{number:02}.png", f"accept {number}")
    service.may_answer.clear()
    with bench.started("--threads", "1") as process:
        try:
            assert service.is_asked.wait(LIMIT_S)
            process.send_signal(signal.SIGINT)
            service.may_answer.set()
            output, errors = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "interrupted: run the same command to continue" in errors
    assert "accepted" in output
    begun = len(service.bodies)
    assert begun < 30
    assert bench.scan().stdout == f"{30 - begun} files: {30 - begun} accepted; {begun} were done before\n"
    assert len(set(service.bodies)) == len(service.bodies) == 30


@pytest.mark.parametrize("ending", ["second Ctrl-C", "SIGKILL"])
def test_an_end_at_once_loses_nothing_that_was_done_a_while_ago(bench: Bench, service: StandIn, ending: str) -> None:
    for number in range(3):
        bench.write(f"{number}.png", f"accept {number}")
    bench.scan()
    bench.write("3.png", "accept 3")
    service.is_asked.clear()
    service.may_answer.clear()
    try:
        with bench.started() as process:
            try:
                assert service.is_asked.wait(LIMIT_S)
                if ending == "SIGKILL":
                    process.kill()
                else:
                    while process.poll() is None:
                        process.send_signal(signal.SIGINT)
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(0.2)
                process.communicate(timeout=LIMIT_S)
            finally:
                process.kill()
    finally:
        service.may_answer.set()
    # A shell shows 130 for both: signals go on until it has ended, and one may come after Python's own handler.
    assert process.returncode in ({-signal.SIGKILL} if ending == "SIGKILL" else {130, -signal.SIGINT})
    assert bench.scan().stdout == "1 file: 1 accepted; 3 were done before\n"


def test_a_watch_sees_a_file_that_comes_and_ends_without_an_error(bench: Bench) -> None:
    bench.write("a.png", "reject first")
    with bench.started("--watch", program=LOOKING_OFTEN, stderr=subprocess.DEVNULL, bufsize=1) as process:
        watchdog = threading.Timer(2 * LIMIT_S, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("rejected     a.png")
            bench.write("b.png", "reject second")
            assert process.stdout.readline().startswith("rejected     b.png")
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == "2 files: 2 rejected\n"
            assert process.wait(LIMIT_S) == 0
        finally:
            watchdog.cancel()
            process.kill()
