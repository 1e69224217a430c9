"""The admin API and the metrics on Ray, with two ingress replicas: who listens, and how soon a list change works."""

import contextlib
import signal
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve_app.lists.live import POLL_S

from .conftest import drawn, environment_of_a_service, free_port, running, wait_for

ADMIN_SECRET = "a-secret-of-an-admin-of-the-tests"
REPLICAS = 2
REPLICAS_OF = {"Ingress": REPLICAS, "Preprocessor": 1, "ClipScorer": 1}

CHANGE_WORKS_IN_S = 2.0
"""What the documentation promises; a busy machine may take longer."""
PATIENT_S = 20.0


@pytest.fixture(scope="module")
def config(fake_config):
    application = fake_config["applications"][0]
    application["args"] |= {"admin": {"port": free_port()}, "metrics": {"port": free_port()}}
    (ingress,) = (each for each in application["deployments"] if each["name"] == "Ingress")
    ingress["num_replicas"] = REPLICAS
    return fake_config


@pytest.fixture(scope="module")
def service(config, tmp_path_factory):
    env = environment_of_a_service(PICTWARDEN_ADMIN_SECRETS=f"alice:{ADMIN_SECRET}")
    with running(config, tmp_path_factory.mktemp("service"), env=env) as started:
        yield started


@pytest.fixture
def admin(config):
    url = f"http://127.0.0.1:{admin_port(config)}/api/v1/admin"
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {ADMIN_SECRET}"}, timeout=30) as client:
        wait_for(lambda: is_answering(client))
        yield client


def admin_port(config):
    return config["applications"][0]["args"]["admin"]["port"]


def metrics_port(config):
    return config["applications"][0]["args"]["metrics"]["port"]


def page(config):
    """The metrics by name: labels and values. Nothing while nobody answers."""
    with contextlib.suppress(httpx.HTTPError):
        text = httpx.get(f"http://127.0.0.1:{metrics_port(config)}/metrics", timeout=30).text
        found: dict[str, list[Any]] = {}
        for family in text_string_to_metric_families(text):
            for each in family.samples:
                found.setdefault(each.name, []).append((each.labels, each.value))
        return found
    return {}


def total(page, name):
    return sum(value for _, value in page.get(name, []))


def replicas_of(page, name):
    return sorted(labels["replica"].partition("-")[0] for labels, _ in page.get(name, []))


def stages_of(page):
    """The stages that a page tells times of, each with the deployment that it is a stage of."""
    return {
        (labels["replica"].partition("-")[0], labels["stage"]) for labels, _ in page["pictwarden_stage_seconds_sum"]
    }


def is_answering(admin):
    with contextlib.suppress(httpx.HTTPError):
        return admin.get("/ledger").status_code == 200
    return False


def ports(process):
    with contextlib.suppress(psutil.Error):
        return [each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return []


def scan_ports(service, admin_port):
    """Of each ingress replica its own port, to which HAProxy forwards uploads."""
    found = []
    for replica in service.replicas("Ingress"):
        for port in ports(replica):
            with contextlib.suppress(httpx.HTTPError):
                if port != admin_port and httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200:
                    found.append(port)
    return found


def test_the_admin_api_answers_on_its_own_listener_and_nowhere_else(service, config, admin):
    assert service.scan(drawn("blue")).json()["verdict"] == "accept"
    (decision,) = admin.get("/decisions", params={"limit": 1}).json()["decisions"]
    assert decision["verdict"] == "accept"
    assert admin.get("/decisions", headers={"authorization": "Bearer wrong"}).status_code == 401
    elsewhere = httpx.get(f"{service.root}/api/v1/admin/decisions", headers=admin.headers, timeout=30)
    assert elsewhere.status_code == 404
    listening = [replica for replica in service.replicas("Ingress") if admin_port(config) in ports(replica)]
    assert len(listening) == 1


def test_one_page_tells_the_metrics_of_every_replica(service, config):
    before = total(page(config), "pictwarden_verdicts_total")
    for number in range(6):
        assert service.scan(drawn("blue", size=(50 + number, 40))).status_code == 200
    wait_for(lambda: total(page(config), "pictwarden_verdicts_total") >= before + 6)
    # Each replica tells its own every two seconds, and none at the same time as another.
    stages = {("Ingress", "record"), ("Preprocessor", "decode"), ("ClipScorer", "batch_wait")}
    wait_for(lambda: stages_of(page(config)) >= stages and total(page(config), "pictwarden_pass_views_sum") >= 6)
    told = page(config)
    every = ["ClipScorer", "Ingress", "Ingress", "Preprocessor"]
    assert replicas_of(told, "pictwarden_snapshot_age_seconds") == every
    assert replicas_of(told, "pictwarden_build_info") == ["Ingress", "Ingress"]
    assert replicas_of(told, "pictwarden_decode_workers") == ["Preprocessor"]
    assert httpx.get(f"{service.root}/metrics", timeout=30).status_code == 404, "never on the scan port"


def test_another_replica_tells_the_metrics_when_the_one_that_did_has_ended(service, config):
    wait_for(lambda: page(config))
    (telling,) = (each for each in service.processes() if metrics_port(config) in ports(each))
    before = total(page(config), "pictwarden_verdicts_total")
    assert before > 0
    telling.send_signal(signal.SIGKILL)
    psutil.wait_procs([telling], timeout=10)
    wait_for(lambda: page(config))
    assert total(page(config), "pictwarden_verdicts_total") >= before, "also those of a replica that has just ended"
    wait_for(lambda: all(len(service.replicas(each)) == count for each, count in REPLICAS_OF.items()))
    wait_for(lambda: len(scan_ports(service, admin_port(config))) == REPLICAS)


def test_a_list_change_works_on_every_replica(service, config, admin):
    assert POLL_S < CHANGE_WORKS_IN_S / 2, "the rest is for reading the change"
    wait_for(lambda: len(scan_ports(service, admin_port(config))) == REPLICAS)
    paths = [service.url.replace(f":{service.port}/", f":{port}/") for port in scan_ports(service, admin_port(config))]
    body = drawn("green")
    with httpx.Client(timeout=30) as client:
        answers = [client.post(path, content=body).json() for path in paths]
        assert [each["verdict"] for each in answers] == ["accept"] * REPLICAS
        fingerprint = {"type": "sha256", "hash": answers[0]["sha256"]}
        wanted = {"kind": "deny", "reason": "on trial", "fingerprints": [fingerprint]}
        (entry,) = admin.post("/lists/entries", json=wanted).json()["entries"]
        require_all(client, paths, body, "listed")
        assert admin.delete(f"/lists/entries/{entry['id']}").status_code == 200
        require_all(client, paths, body, "policy")


def require_all(client, paths, body, reason):
    """Each replica comes to decide for ``reason``, and goes on to."""

    def are_decided():
        return all(client.post(path, content=body).json()["reason"] == reason for path in paths)

    wait_for(are_decided, PATIENT_S)
    for _ in range(5):
        assert are_decided()


def test_another_replica_takes_the_listener_over(service, config, admin):
    (listening,) = (each for each in service.replicas("Ingress") if admin_port(config) in ports(each))
    listening.send_signal(signal.SIGKILL)
    psutil.wait_procs([listening], timeout=10)
    wait_for(lambda: is_answering(admin))
    wait_for(lambda: len(scan_ports(service, admin_port(config))) == REPLICAS)
