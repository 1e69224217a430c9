"""Misskey's detector API in both ways of running, with the real classifier."""

import json
import re

import httpx
import pytest

from serve_app.domain import ModelError
from serve_app.models.onnx.opening import KNOWN
from tests.documentation.pages import commands_of
from tests.documentation.terminal import Terminal

from .conftest import ONE_PROCESS, RAY, ROOT, environment_of_a_service, running, wait_for

MISSKEY_SECRET = "a-secret-of-misskey"
GOLDEN = ROOT / "tests" / "golden" / "misskey" / "detect-images.http"
CLASSES = {"Drawing", "Hentai", "Neutral", "Porn", "Sexy"}


def is_fetched():
    try:
        return KNOWN["nsfwjs"].find(None).exists()
    except ModelError:
        return False


@pytest.fixture(scope="module", params=[RAY, ONE_PROCESS])
def service(request, fake_config, tmp_path_factory):
    if not is_fetched():
        pytest.skip("no classifier in the cache: `pictwarden model fetch nsfwjs`")
    fake_config["applications"][0]["args"]["misskey"] = {"classifier": "nsfwjs"}
    environment = environment_of_a_service(PICTWARDEN_MISSKEY_SECRETS=MISSKEY_SECRET)
    with running(fake_config, tmp_path_factory.mktemp("service"), request.param, env=environment) as started:
        yield started


def detect(service, content, headers):
    return httpx.post(f"{service.root}/misskey/v1/detect-images", content=content, headers=headers, timeout=30)


def test_a_request_of_misskeys_client_is_answered(service):
    head, _, body = GOLDEN.read_bytes().partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    response = detect(service, body, headers | {"x-request-id": "misskey-1"})
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"] == "misskey-1"
    results = response.json()["result"]["results"]
    assert len(results) == 3
    for each in results:
        shares = {one["className"]: one["probability"] for one in each["predictions"]}
        assert set(shares) == CLASSES
        assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    line = re.compile(r"detection answered 200: 3 of 3 parts ms=.* X-Request-ID=misskey-1")
    wait_for(lambda: line.search(service.log_text()))
    assert MISSKEY_SECRET not in service.log_text()


def test_the_documented_command_is_answered(service, picture, tmp_path):
    (tmp_path / "first.png").write_bytes(picture("red"))
    (tmp_path / "second.jpg").write_bytes(b"no picture")
    (fence,) = commands_of("docs/misskey.md")
    terminal = Terminal(tmp_path, {"SECRET": MISSKEY_SECRET}, {"http://127.0.0.1:14051": service.root})
    # Its progress would stand in the answer.
    answer = json.loads(terminal.give(f"{fence.body.rstrip()} --silent")[-1])
    first, second = answer["result"]["results"]
    assert {each["className"] for each in first["predictions"]} == CLASSES
    assert second["success"] is False


def test_an_id_that_is_unfit_for_a_log_is_not_repeated(service):
    response = detect(service, b"x", {"x-request-id": "unfit for a log"})
    assert response.status_code == 401
    assert len(response.headers["x-request-id"]) == 32


def test_it_is_there(service):
    response = httpx.get(f"{service.root}/misskey/health", timeout=30)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"x", {}, 401),
        (b"x", {"authorization": f"Bearer {MISSKEY_SECRET}"}, 415),
        (bytes(12_582_913), {"authorization": f"Bearer {MISSKEY_SECRET}"}, 413),
        (
            b"--edge--",
            {"authorization": f"Bearer {MISSKEY_SECRET}", "content-type": "multipart/form-data; boundary=edge"},
            400,
        ),
    ],
)
def test_what_is_no_request_of_this_api_gets_the_documented_status(service, content, headers, status):
    response = detect(service, content, headers)
    assert response.status_code == status
    assert response.json()["success"] is False


def test_an_upload_is_judged_beside_it(service, picture):
    assert service.scan(picture("red")).status_code == 406
    assert service.scan(picture("green")).status_code == 200
