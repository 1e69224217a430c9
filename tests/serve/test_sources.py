"""Several instances on one service, in both ways of running: each by its own policy and quota."""

import time

import httpx
import pytest

from .conftest import FAKE_POLICY, ONE_PROCESS, RAY, environment_of_a_service, running, wait_for

QUOTA = 6
INGRESS_REPLICAS = {RAY: 2, ONE_PROCESS: 1}
"""Each has an even part of a quota."""


@pytest.fixture(scope="module", params=[RAY, ONE_PROCESS])
def service(request, fake_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    (folder / "green.yaml").write_text(FAKE_POLICY.replace("red", "green"), "utf-8")
    application = fake_config["applications"][0]
    (ingress,) = (each for each in application["deployments"] if each["name"] == "Ingress")
    ingress["num_replicas"] = INGRESS_REPLICAS[request.param]
    application["args"]["sources"] = {
        "of-green": {"secrets_env": "SECRETS_GREEN", "policy": str(folder / "green.yaml"), "share": 2},
        "limited": {"secrets_env": "SECRETS_LIMITED", "quota_per_minute": QUOTA},
    }
    secrets = {"SECRETS_GREEN": "a-secret-of-those-of-green", "SECRETS_LIMITED": "a-secret-of-the-limited"}
    environment = environment_of_a_service(**secrets)
    with running(fake_config, folder, request.param, env=environment) as started:
        yield started


def scan(service, secret, body):
    return httpx.post(f"{service.root}/api/v1/scan/{secret}", content=body, timeout=30)


def test_the_same_picture_is_judged_by_the_policy_of_its_source_and_its_decision_names_it(service, picture):
    red, green = picture("red"), picture((0, 255, 0))
    statuses = [scan(service, "a-secret-of-those-of-green", body).status_code for body in (red, green)]
    assert [*statuses, *(service.scan(body).status_code for body in (red, green))] == [200, 406, 406, 200]
    wait_for(lambda: "reject rule=green" in service.log_text())
    (line,) = (each for each in service.log_text().splitlines() if "reject rule=green" in each)
    assert "source=of-green" in line


def test_more_than_the_quota_is_sent_and_the_quota_is_scanned_by_all_replicas_together(service, picture):
    bodies = [picture("blue", size=(64, 60 + number)) for number in range(6 * QUOTA)]
    began_s = time.monotonic()
    answers = [scan(service, "a-secret-of-the-limited", body) for body in bodies]
    grown = QUOTA * (time.monotonic() - began_s) / 60
    assert QUOTA <= [each.status_code for each in answers].count(200) <= QUOTA + grown
    assert {each.status_code for each in answers} == {200, 503}
    refused = next(each for each in answers if each.status_code == 503)
    assert refused.json()["reason"] == "overloaded"
    assert refused.headers["retry-after"] == "30"
    assert service.scan(picture("blue", size=(64, 59))).status_code == 200, "nobody else is refused"
    replicas = INGRESS_REPLICAS[service.way]
    wait_for(lambda: service.log_text().count("source limited is over its quota") >= replicas)
