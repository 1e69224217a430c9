"""The one process as a process: signals, ends, limits of the system, and what senders can do to it. The fake engine."""

import asyncio
import contextlib
import copy
import fcntl
import itertools
import os
import pty
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from serve_app.domain.canary import CANARY_REASON
from serve_app.media.canary import canary_png
from tests.processes import is_alive

from .conftest import (
    LINE,
    ONE_PROCESS,
    SECRET,
    command_of,
    ended,
    environment_of_a_service,
    free_port,
    running,
    wait_for,
    written,
)
from .pictrs_client import LONGEST_S, PictrsClient

MB = 1_000_000

_HEIGHTS_PX = itertools.count(40)


@pytest.fixture(scope="module")
def way():
    return ONE_PROCESS


@pytest.fixture(scope="module")
def config(fake_config):
    args_of(fake_config)["decode_workers"] = 1
    return fake_config


@pytest.fixture
def own_config(config):
    """One that a test may change, on a port of its own."""
    own = copy.deepcopy(config)
    own["http_options"]["port"] = free_port()
    return own


@pytest.fixture
def unique_picture(picture):
    """Pictures that no earlier test has sent: the same bytes are judged once."""
    return lambda **how: picture("blue", size=(64, next(_HEIGHTS_PX)), **how)


@pytest.fixture
def client():
    with httpx.Client(timeout=30, trust_env=False, verify=False) as client:
        yield client


def args_of(config):
    return config["applications"][0]["args"]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def started(config, folder, **options):
    """The service from the first moment, ready or not; whatever a test leaves of it is killed."""
    process = subprocess.Popen(
        command_of(ONE_PROCESS, "--config", written(config, folder)),
        cwd=folder,
        **{"env": environment_of_a_service(), "stdout": subprocess.DEVNULL, **options},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in psutil.Process(process.pid).children(recursive=True):
                each.kill()
        process.kill()
        process.wait()


def test_a_stop_while_it_starts_is_no_failure_and_leaves_nothing(own_config, tmp_path):
    with started(own_config, tmp_path) as process:
        wait_for(lambda: listens(own_config["http_options"]["port"]))
        wait_for(lambda: psutil.Process(process.pid).children())
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert psutil.wait_procs(children, 30)[1] == []


def test_a_run_leaves_nothing_in_the_folder_for_temporary_files(own_config, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # torch, which the fake engine does not need, makes a folder when it is imported.
    args_of(own_config).update(model={"source": "embedded:demo-shapes"}, policy="shipped:demo-red-triangle")
    with running(own_config, tmp_path, ONE_PROCESS, env=environment_of_a_service(TMPDIR=str(temporary))):
        assert len(list(temporary.iterdir())) == 1
    assert list(temporary.iterdir()) == []


def test_a_stop_before_it_listens_is_no_failure(own_config, tmp_path):
    with started(own_config, tmp_path) as process:
        wait_for(lambda: set_by_ourselves(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def set_by_ourselves(pid, number):
    """Whether the process catches the signal (proc(5))."""
    return bool(int(status_of(pid)["SigCgt"], 16) >> (number - 1) & 1)


def status_of(pid):
    """The fields of the kernel's file about a process (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_canary_is_refused_whatever_the_policy_is(own_config, tmp_path):
    with running(own_config, tmp_path, ONE_PROCESS) as service:
        answer = service.scan(canary_png()).json()
        assert (answer["verdict"], answer["reason"], answer["message"]) == ("reject", "listed", CANARY_REASON)


def test_a_second_signal_ends_it_at_once(own_config, tmp_path, picture):
    args_of(own_config)["model"] = {"source": "fake:9000ms"}
    port = own_config["http_options"]["port"]
    body = picture("blue")
    head = f"POST /api/v1/scan/{SECRET} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        running(own_config, tmp_path, ONE_PROCESS) as service,
        socket.create_connection(("127.0.0.1", port), timeout=30) as sender,
    ):
        sender.sendall(head.encode() + body)
        httpx.get(f"{service.root}/healthz", timeout=30)  # the picture, which came before this, is inside
        service.process.send_signal(signal.SIGINT)
        wait_for(lambda: not listens(port))
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(6) == 0, "the picture inside would be answered after eight seconds"
        with contextlib.suppress(ConnectionError):
            assert sender.recv(1) == b"", "closed, and not accepted"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "./nowhere", "--policy", "./of-nowhere.yaml"], "nowhere"),
        (["--model", "fake", "--policy", "shipped:demo-red-triangle"], "choose the policy of this model"),
        (["--policy", "shipped:no-such-policy"], "no-such-policy"),
        (["--config", "no-such-file.yaml"], "no-such-file.yaml: cannot be read"),
        (["--host", "192.0.2.1"], "192.0.2.1 is not an address of this machine"),
    ],
)
def test_what_cannot_start_says_so_in_one_line(tmp_path, options, said):
    (tmp_path / "of-nowhere.yaml").write_text(
        "policy: p\nmodel: nowhere\nconcepts:\n  red: {score: cosine, prompts: [red]}\n"
        "rules:\n  - {name: red, verdict: reject, when: {concept: red, above: 0.5}}\n"
    )
    port = free_port()
    done = ended(ONE_PROCESS, tmp_path, "--port", str(port), *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert said in line
    # Another service of this machine may have the port of the metrics.
    assert [each for each in done.stdout.splitlines() if "no metrics are served" not in each] == []
    assert not listens(port)


def test_a_dead_decode_worker_costs_no_picture(service, unique_picture):
    workers = service.processes()
    for each in workers:
        each.kill()
    wait_for(lambda: not any(map(is_alive, workers)))
    assert [service.scan(unique_picture()).status_code for _ in range(4)] == [200] * 4
    assert {each.pid for each in service.processes()}.isdisjoint(each.pid for each in workers)


def test_a_process_that_is_killed_leaves_no_worker(own_config, tmp_path):
    with started(own_config, tmp_path, stdout=subprocess.PIPE, text=True) as process, process.stdout as output:
        next(line for line in output if "ready after" in line)
        workers = psutil.Process(process.pid).children()
        assert workers
        process.kill()
        assert psutil.wait_procs(workers, 30)[1] == []


def test_an_address_that_a_header_tells_lets_nobody_in(own_config, tmp_path, unique_picture):
    args_of(own_config)["authentication"] = {"trusted_networks": ["192.0.2.0/24"]}
    with running(own_config, tmp_path, ONE_PROCESS) as service:
        url = f"{service.root}/api/v1/scan/IPADDR"
        told = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7", "X-Real-IP": "192.0.2.7"}
        assert httpx.post(url, content=unique_picture(), headers=told, timeout=30).status_code == 401


def test_more_idle_connections_than_files_keep_nobody_out(own_config, tmp_path, unique_picture):
    few = (128, 128)
    with (
        running(
            own_config, tmp_path, ONE_PROCESS, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few)
        ) as service,
        contextlib.ExitStack() as idle,
    ):
        for _ in range(few[0] + 32):
            idle.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30))
        assert service.scan(unique_picture()).status_code == 200
        (worker,) = service.processes()
        worker.kill()
        wait_for(lambda: not is_alive(worker))
        assert service.scan(unique_picture()).status_code == 200, "there are files for another worker too"
        assert "Too many open files" not in service.text


def test_many_large_bodies_at_once_do_not_fill_the_memory(own_config, tmp_path, picture):
    reserved_bytes, body_bytes, senders = 40 * MB, 8 * MB, 60
    args_of(own_config)["limits"] = {"max_inside_bytes": reserved_bytes, "max_body_bytes": body_bytes}
    with running(own_config, tmp_path, ONE_PROCESS) as service:
        assert service.scan(picture("blue")).status_code == 200
        before_bytes = peak_bytes(service.process.pid)

        async def flood():
            async def send(number):
                async with PictrsClient(service.url) as client:
                    return await client.post(number.to_bytes(4, "big") * (body_bytes // 4))

            return await asyncio.gather(*map(send, range(senders)))

        outcomes = asyncio.run(flood())
        grown_bytes = peak_bytes(service.process.pid) - before_bytes
    statuses = {outcome.status for outcome in outcomes}
    assert 415 in statuses, "some were read to their end, and are no pictures"
    assert statuses <= {415, 503, None}
    assert max(outcome.elapsed_s for outcome in outcomes) < LONGEST_S
    # Beside the bodies: for each connection what was received and not yet read, twice, since the allocator keeps some
    # of it; and one body that is handed on. All bodies together have 480 MB.
    assert grown_bytes < reserved_bytes + senders * MB + 2 * body_bytes


def peak_bytes(pid):
    """The most resident memory that the process ever had."""
    return int(status_of(pid)["VmHWM"].split()[0]) * 1024


def test_an_output_that_nobody_reads_holds_up_neither_answers_nor_the_end(own_config, tmp_path, client, unique_picture):
    port = own_config["http_options"]["port"]
    url = f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}"
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        with started(own_config, tmp_path, stdout=writing, stderr=writing) as process:
            wait_for(lambda: is_ready(client, port))
            for _ in range(30):  # some 300 bytes of the log each
                assert client.post(url, content=unique_picture()).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("is_closed_from_the_start", [True, False])
def test_an_output_that_is_closed_costs_nothing(own_config, tmp_path, client, unique_picture, is_closed_from_the_start):
    port = own_config["http_options"]["port"]
    url = f"http://127.0.0.1:{port}/api/v1/scan/{SECRET}"
    output = (
        {"stdout": None, "preexec_fn": lambda: os.closerange(1, 3)}
        if is_closed_from_the_start
        else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    )
    with started(own_config, tmp_path, **output) as process:
        if process.stdout:
            process.stdout.close()
        wait_for(lambda: is_ready(client, port))
        for _ in range(3):
            assert client.post(url, content=unique_picture()).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def is_ready(client, port):
    try:
        return client.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def test_at_a_terminal_it_shows_that_it_works_and_the_line_to_paste(own_config, tmp_path):
    port = own_config["http_options"]["port"]
    terminal, theirs = pty.openpty()
    try:
        with started(own_config, tmp_path, stdout=theirs, stderr=theirs) as process:
            shown = b""
            while LINE.encode() not in shown or not shown.endswith(b"\n"):
                shown += os.read(terminal, 65_536)
            assert b"four sample pictures" in shown
            assert f"{LINE}http://127.0.0.1:{port}/api/v1/scan/{SECRET}".encode() in shown
            process.send_signal(signal.SIGINT)
            reader = threading.Thread(target=read_to_the_end, args=(terminal,), daemon=True)
            reader.start()
            assert process.wait(30) == 0
    finally:
        os.close(theirs)
        os.close(terminal)


def read_to_the_end(descriptor):
    with contextlib.suppress(OSError):
        while os.read(descriptor, 65_536):
            pass


def test_systemd_is_told_and_the_secret_is_in_the_units_folder(own_config, tmp_path, unique_picture):
    state = tmp_path / "state"
    state.mkdir()
    environment = environment_of_a_service(STATE_DIRECTORY=str(state), NOTIFY_SOCKET=str(tmp_path / "notify"))
    environment |= {"PICTWARDEN_SECRETS": "", "JOURNAL_STREAM": "1:1"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        with started(own_config, tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
            told = [manager.recv(100)]
            while told[-1] != b"READY=1":
                told.append(manager.recv(100))
            assert told == [b"READY=1"]
            assert manager.recv(100) == b"WATCHDOG=1"
            url, secret = ((state / name).read_text("ascii").strip() for name in ("url", "secret"))
            assert url == f"http://127.0.0.1:{own_config['http_options']['port']}/api/v1/scan/{secret}"
            assert httpx.post(url, content=unique_picture(), timeout=30).status_code == 200
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
            assert process.returncode == 0
            assert time.monotonic() - began_s < LONGEST_S
            while (last := manager.recv(100)) == b"WATCHDOG=1":
                pass
            assert last == b"STOPPING=1"
    assert secret not in output
    assert all(line.startswith(("INFO ", "WARNING ")) for line in output.splitlines()), "the journal has its own time"
