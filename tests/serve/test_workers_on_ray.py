"""Workers elsewhere on a real Ray: a `pictwarden worker` scores, is lost, and another one works off what was missed."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading

import httpx
import pytest

from serve_app.pictrs import API_KEY_ENV
from tests.contract.pictrs.stand_in import API_KEY, standing_in
from tests.e2e.remote.processes import started

from .conftest import ROOT, drawn, environment_of_a_service, free_port, running, wait_for
from .test_notices import SENT_WITHIN_S, webhook, where_to

ADMIN_SECRET = "a-secret-of-an-admin-of-the-tests"
WORKER_SECRET = "a-secret-of-a-worker-of-the-tests"
MODEL = "fake:1ms"
PATIENT_S = 60

pytestmark = pytest.mark.timeout(400)

_WIDTHS_PX = iter(range(40, 400))


@pytest.fixture(scope="module")
def pictrs():
    """A stand-in for pict-rs, on a loop of its own."""
    loop, stop, opened = asyncio.new_event_loop(), asyncio.Event(), []
    is_ready = threading.Event()

    async def stand_in():
        async with standing_in() as pictrs:
            opened.append(pictrs)
            is_ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(stand_in(),), daemon=True)
    thread.start()
    assert is_ready.wait(PATIENT_S)
    yield opened[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENT_S)
    loop.close()


@pytest.fixture(scope="module")
def config(fake_config, pictrs, tmp_path_factory):
    application = fake_config["applications"][0]
    application["args"] |= {
        "model": {"source": MODEL},
        "ledger": str(tmp_path_factory.mktemp("ledger") / "ledger.db"),
        "on_unscanned": "accept",
        "rescan": "purge",
        "pictrs": {"url": pictrs.url},
        **{name: {"port": free_port()} for name in ("admin", "metrics", "remote")},
    }
    (scorer,) = (each for each in application["deployments"] if each["name"] == "ClipScorer")
    scorer["name"] = "RemoteScorer"
    return fake_config


@pytest.fixture(scope="module")
def args(config):
    return config["applications"][0]["args"]


@pytest.fixture(scope="module")
def hook():
    with webhook() as opened:
        yield opened


@pytest.fixture(scope="module")
def service(config, hook, tmp_path_factory):
    secrets = {
        **where_to(hook[0]),
        API_KEY_ENV: API_KEY,
        "PICTWARDEN_ADMIN_SECRETS": f"alice:{ADMIN_SECRET}",
        "PICTWARDEN_WORKER_SECRETS": f"home:{WORKER_SECRET},rented:{WORKER_SECRET}-2",
    }
    with running(config, tmp_path_factory.mktemp("service"), env=environment_of_a_service(**secrets)) as ray:
        yield ray


@pytest.fixture
def working(args, tmp_path):
    def start(owner, name):
        secret = tmp_path / f"{owner}.secret"
        secret.write_text(WORKER_SECRET if owner == "home" else f"{WORKER_SECRET}-2", "utf-8")
        where = ("--url", f"http://127.0.0.1:{args['remote']['port']}", "--secret-file", str(secret))
        return started(("worker", *where, "--name", name, "--model", MODEL), tmp_path, {})

    return start


@pytest.fixture
def command(args, tmp_path):
    """``pictwarden`` over the admin API."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PICTWARDEN_ADMIN_URL": f"http://127.0.0.1:{args['admin']['port']}",
        "PICTWARDEN_ADMIN_SECRETS": f"alice:{ADMIN_SECRET}",
    }

    def run(*arguments):
        whole = [sys.executable, "-m", "serve_app.cli", *arguments]
        ended = subprocess.run(
            whole, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENT_S, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def scan(service, colour):
    """The answer for a picture that was not sent before."""
    return service.scan(drawn(colour, size=(next(_WIDTHS_PX), 48))).json()


def is_scanned(service):
    return scan(service, "blue").get("verdict") is not None


def metric(args, name):
    """The values of a metric, by what follows its name; none while nobody answers."""
    with contextlib.suppress(httpx.HTTPError):
        text = httpx.get(f"http://127.0.0.1:{args['metrics']['port']}/metrics", timeout=30, trust_env=False).text
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(name)]
        return {labels.removeprefix(name): float(value) for labels, _, value in lines}
    return {}


def connected(args):
    return sum(metric(args, "pictwarden_workers{").values())


def is_trusted(command, name):
    workers = json.loads(command("workers", "--json"))["workers"]
    return [(each["name"], each["state"]) for each in workers] == [(name, "trusted")]


def test_that_no_worker_is_there_is_never_silent(service, args, hook, command):
    assert "pictwarden worker --url" in service.text
    assert not is_scanned(service)
    wait_for(lambda: any(metric(args, "pictwarden_workers_absent_seconds").values()), PATIENT_S)
    assert "No worker is connected, since" in command("workers")
    assert hook[1].get(timeout=SENT_WITHIN_S)["title"] == "Pictwarden: no worker is connected"


def test_a_worker_is_lost_and_another_one_works_off_what_was_missed(service, args, pictrs, working, command):
    with working("home", "desktop") as worker:
        wait_for(lambda: is_trusted(command, "home/desktop"), PATIENT_S)
        rejected = scan(service, "red")
        assert rejected["verdict"] == "reject"
        assert "home/desktop" in command("why", rejected["request_id"])
        wait_for(lambda: connected(args) == 1, PATIENT_S)
        worker.kill()
        wait_for(lambda: not is_scanned(service), PATIENT_S)
    missed = drawn("red", size=(next(_WIDTHS_PX), 48))
    let_through = service.scan(missed).json()
    pictrs.store(missed)
    assert let_through.get("verdict") is None
    assert let_through["request_id"] in command("decisions", "--pending", "--json")
    with working("rented", "card"):
        wait_for(lambda: is_trusted(command, "rented/card"), PATIENT_S)
        assert "rented/card" in command("why", scan(service, "red")["request_id"])
        done = ("decisions", "--done", "rescan: purged", "--json")
        wait_for(lambda: let_through["request_id"] in command(*done), PATIENT_S)


def test_a_worker_is_sent_away(service, args, working, command):
    with working("home", "laptop") as worker:
        wait_for(lambda: is_trusted(command, "home/laptop"), PATIENT_S)
        assert "home/laptop is dismissed" in command("workers", "dismiss", "home/laptop")
        wait_for(lambda: not worker.is_running, PATIENT_S)
    assert not is_scanned(service)
    wait_for(lambda: connected(args) == 0 and metric(args, "pictwarden_workers{"), PATIENT_S)
