"""Logs in JSON and traces in both ways of running: each line and each span of a picture names its request."""

import json
import re
import shutil
import uuid
from typing import Any

import httpx
import pytest

from tests.documentation.pages import commands_of
from tests.documentation.terminal import Terminal
from tests.unit.tracing.collector import collecting

from .conftest import ONE_PROCESS, RAY, SECRET, environment_of_a_service, running, wait_for

CALLER = "b7ad6b7169203331"
STAGES_OF = {
    "ingress": {"body", "known", "recall", "preprocess", "score", "judge", "nearest", "record"},
    "preprocessor": {"decode_wait", "decode"},
    "scorer": {"batch_wait", "score_pass"},
}


@pytest.fixture(scope="module", params=[RAY, ONE_PROCESS])
def way(request):
    return request.param


@pytest.fixture(scope="module")
def config(fake_config):
    fake_config["applications"][0]["args"]["log"] = {"format": "json"}
    return fake_config


@pytest.fixture(scope="module")
def collector():
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def service(config, way, collector, tmp_path_factory):
    # What sends spans obeys the proxies of the environment, as curl does.
    environment = environment_of_a_service(**collector.environment, no_proxy="127.0.0.1", NO_PROXY="127.0.0.1")
    with running(config, tmp_path_factory.mktemp("service"), way, env=environment) as started:
        yield started


def whole_lines(service):
    """Without those in JSON that are being written: the last one of each process may lack its end."""
    return [line for line in service.log_text().splitlines() if not line.startswith("{") or line.endswith("}")]


def lines_of(service):
    """Of the processes that serve, by their event."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in whole_lines(service):
        if line.startswith("{"):
            fields = json.loads(line)
            found.setdefault(fields["event"], []).append(fields)
    return found


def requests_of(service):
    """Those of which there is a decision, or a refusal."""
    told = lines_of(service)
    return {each["request_id"] for event in ("decision", "refused") for each in told.get(event, [])}


def test_each_line_about_a_picture_is_json_and_names_its_request(service, picture, way):
    accepted = service.scan(picture("white")).json()["request_id"]
    truncated = service.scan(b"\xff\xd8\xff\xe0 broken").json()["request_id"]
    stranger = httpx.post(f"{service.root}/api/v1/scan/{'wrong' * 4}", content=b"x", timeout=30).json()["request_id"]
    wait_for(lambda: requests_of(service) >= {accepted, truncated, stranger})
    for line in whole_lines(service):
        if any(each in line for each in (accepted, truncated, stranger)):
            assert json.loads(line)["request_id"] in line
    told = lines_of(service)
    decisions = {each["request_id"]: each for each in told["decision"]}
    assert decisions[accepted]["verdict"] == "accept"
    assert decisions[accepted]["sha256"] == service.scan(picture("white")).json()["sha256"]
    assert decisions[truncated]["reason"] == "truncated"
    assert {"status": 401, "reason": "unauthorised", "request_id": stranger}.items() <= told["refused"][0].items()
    (warm, *_) = told["model_warm"]
    assert warm["component"] == ("scorer" if way == RAY else "serve")
    assert {each["component"] for each in told["decision"]} == {"ingress" if way == RAY else "serve"}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed here")
def test_the_documented_commands_find_the_lines_of_a_request(service, picture, way, tmp_path):
    request_id = service.scan(picture("white")).json()["request_id"]
    wait_for(lambda: request_id in service.log_text() and (way == ONE_PROCESS or "\nLogs: " in service.text))
    (tmp_path / "service.log").write_text(service.text, "utf-8")
    (fence,) = [each for each in commands_of("docs/logging.md") if "jq" in each.body]
    _, of_one_process, of_ray = fence.lines()
    folder = re.search(r"^Logs: (.+)$", service.text, re.MULTILINE)
    terminal = Terminal(tmp_path, {"ID": request_id, "LOGS": folder[1] if folder else ""})
    found = [json.loads(line) for line in terminal.give(of_ray if way == RAY else of_one_process)]
    assert found
    assert {each["request_id"] for each in found} == {request_id}


def test_no_line_has_the_secret_or_a_fingerprint(service):
    text = service.log_text()
    assert SECRET not in text
    assert not re.search(r"\b[0-9a-f]{512,}\b|pdq", text, re.IGNORECASE)


def test_a_picture_is_one_trace_below_the_callers_through_every_process(service, picture, way, collector):
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-{CALLER}-01"}
    response = service.scan(picture("red"), headers=headers)
    assert response.status_code == 406
    stages = set().union(*STAGES_OF.values())
    by_name = {span.name: span for span in collector.wait_for({"scan", *stages}, trace)}
    assert by_name.keys() == {"scan", *stages}
    request = by_name.pop("scan")
    assert request.parent_id == CALLER
    assert request.attributes["pictwarden.outcome"] == "reject"
    assert request.attributes["pictwarden.request_id"] == response.json()["request_id"]
    for component, names in STAGES_OF.items():
        for name in names:
            span = by_name[name]
            assert span.parent_id == request.span_id
            assert span.component == (component if way == RAY else "serve")
            assert request.began_ns <= span.began_ns <= span.ended_ns <= request.ended_ns, name
