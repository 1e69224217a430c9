"""Workers elsewhere on a real Ray: a `pictwarden worker` scores, is lost, and another one takes its place."""

import contextlib
import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.e2e.remote.processes import started

from .conftest import ROOT, drawn, environment_of_a_service, free_port, running, wait_for

ADMIN_SECRET = "a-secret-of-an-admin-of-the-tests"
WORKER_SECRET = "a-secret-of-a-worker-of-the-tests"
MODEL = "fake:1ms"
PATIENT_S = 60

pytestmark = pytest.mark.timeout(400)

_WIDTHS_PX = iter(range(40, 400))


@pytest.fixture(scope="module")
def config(fake_config, tmp_path_factory):
    application = fake_config["applications"][0]
    application["args"] |= {
        "model": {"source": MODEL},
        "ledger": str(tmp_path_factory.mktemp("ledger") / "ledger.db"),
        **{name: {"port": free_port()} for name in ("admin", "metrics", "remote")},
    }
    (scorer,) = (each for each in application["deployments"] if each["name"] == "ClipScorer")
    scorer["name"] = "RemoteScorer"
    return fake_config


@pytest.fixture(scope="module")
def args(config):
    return config["applications"][0]["args"]


@pytest.fixture(scope="module")
def service(config, tmp_path_factory):
    secrets = {
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
    """The status and the answer for a picture that was not sent before."""
    answered = service.scan(drawn(colour, size=(next(_WIDTHS_PX), 48)))
    return answered.status_code, answered.json()


def is_scanned(service):
    return scan(service, "blue")[0] == 200


def metric(args, name):
    """The values of a metric, by what follows its name; none while nobody answers."""
    with contextlib.suppress(httpx.HTTPError):
        text = httpx.get(f"http://127.0.0.1:{args['metrics']['port']}/metrics", timeout=30, trust_env=False).text
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(name)]
        return {labels.removeprefix(name): float(value) for labels, _, value in lines}
    return {}


def connected(args):
    return sum(metric(args, "pictwarden_workers{").values())


def test_workers_score_are_lost_come_back_and_are_sent_away(service, args, working, command):
    assert "pictwarden worker --url" in service.text
    assert scan(service, "blue")[0] == 503
    wait_for(lambda: any(metric(args, "pictwarden_workers_absent_seconds").values()), PATIENT_S)
    assert "No worker is connected, since" in command("workers")
    with working("home", "desktop") as worker:
        wait_for(lambda: is_scanned(service), PATIENT_S)
        status, answer = scan(service, "red")
        assert (status, answer["verdict"]) == (406, "reject")
        assert "home/desktop" in command("why", answer["request_id"])
        (shown,) = json.loads(command("workers", "--json"))["workers"]
        assert (shown["name"], shown["state"]) == ("home/desktop", "trusted")
        wait_for(lambda: connected(args) == 1, PATIENT_S)
        worker.kill()
        wait_for(lambda: scan(service, "blue")[0] == 503, PATIENT_S)
    with working("rented", "card") as other:
        wait_for(lambda: is_scanned(service), PATIENT_S)
        status, answer = scan(service, "red")
        assert (status, answer["verdict"]) == (406, "reject")
        assert "rented/card" in command("why", answer["request_id"])
        assert "rented/card is dismissed" in command("workers", "dismiss", "rented/card")
        wait_for(lambda: not other.is_running, PATIENT_S)
    assert scan(service, "blue")[0] == 503
    wait_for(lambda: connected(args) == 0 and metric(args, "pictwarden_workers{"), PATIENT_S)
