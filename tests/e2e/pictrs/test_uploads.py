"""Uploads to a real pict-rs that asks Pictwarden about each of them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve_app.media.canary import draw_canary
from tests.e2e.pictrs.recorder import recording
from tests.e2e.pictrs.server import Upload, running_pictrs
from tests.e2e.pictrs.validating import Validation
from tests.serve.conftest import ROOT, drawn, environment_of_a_service, free_port, padded
from tests.serve.pictrs_client import PictrsClient

SAMPLES = ROOT / "serve_app" / "cli" / "samples"
REFUSED = Upload(400, "failed-external-validation", ())
NOT_ANSWERED = Upload(500, "http-client-error", ())

pytestmark = pytest.mark.timeout(180)

_HEIGHTS_PX = itertools.count(40)


def new_picture(length_bytes=10_000):
    """A blue picture that was not uploaded before."""
    return padded(drawn("blue", size=(64, next(_HEIGHTS_PX))), length_bytes)


def sample(name):
    return (SAMPLES / name).read_bytes()


def stored(pictrs, body):
    """The aliases of each hash that pict-rs holds of these bytes."""
    return [each["aliases"] for each in pictrs.hashes() if each["hex"].startswith(hashlib.sha256(body).hexdigest())]


@pytest.mark.parametrize("name", ["blue-triangle.webp", "landscape.jpg", "red-circle.jpg"])
def test_an_accepted_picture_is_stored(pictrs, validation, name):
    body = sample(name)
    upload, said = validation.upload(body)
    assert (said.outcome, upload.status) == ("accept", 201)
    (alias,) = upload.aliases
    assert pictrs.original(alias).content == body


def test_a_rejected_picture_is_not_stored(pictrs, validation):
    body = sample("red-triangle.png")
    upload, said = validation.upload(body)
    assert (said.outcome, said.rule) == ("reject", "red-triangle")
    assert upload == REFUSED
    assert stored(pictrs, body) == []


@pytest.mark.parametrize("type_", ["PNG", "JPEG"])
def test_the_canary_is_not_stored(pictrs, validation, type_):
    written = io.BytesIO()
    draw_canary().save(written, type_)
    upload, said = validation.upload(written.getvalue())
    assert said.outcome == "reject (listed in canary)"
    assert upload == REFUSED
    assert stored(pictrs, written.getvalue()) == []


def test_a_whole_installation_is_proved_with_the_canary(service):
    command = [sys.executable, "-m", "serve_app.cli", "check", "--canary", "--url", service.url]
    done = subprocess.run(
        command, env=environment_of_a_service(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_no_picture_is_not_stored(pictrs, validation):
    body = b"no picture, which is nothing to pict-rs in dummy mode"
    upload, said = validation.upload(body)
    assert (said.outcome, upload) == ("unscanned (unsupported)", REFUSED)
    assert stored(pictrs, body) == []


@pytest.mark.parametrize("length_bytes", [8191, 8192, 8193, 3_000_000])
def test_a_body_of_any_number_of_chunks_is_read_to_its_end(validation, length_bytes):
    upload, said = validation.upload(new_picture(length_bytes))
    assert (said.outcome, said.body_bytes, upload.status) == ("accept", length_bytes, 201)


def test_a_duplicate_is_validated_again_and_stored_once(pictrs, validation):
    body = new_picture()
    (first, said), (second, said_again) = validation.upload(body), validation.upload(body)
    assert (said.outcome, said_again.outcome) == ("accept", "accept")
    (aliases,) = stored(pictrs, body)
    assert set(aliases) == {*first.aliases, *second.aliases}
    assert len(aliases) == 2


def test_uploads_at_once_are_all_answered(validation):
    twin = new_picture()
    bodies = [new_picture() for _ in range(24)] + [twin] * 8
    seen = len(validation.service.output)
    with ThreadPoolExecutor(8) as senders:
        uploads = list(senders.map(validation.pictrs.upload, bodies))
    said = validation.said_since(seen, len(bodies))
    races = [each for each in said if validation.races.count(each, twin)]  # all are of one length
    assert {each.outcome for each in said if each not in races} == {"accept"}
    assert sorted(upload.status for upload in uploads) == [201] * (len(bodies) - len(races)) + [400] * len(races)


def test_at_ipaddr_a_trusted_address_is_enough(service, races):
    with running_pictrs(f"{service.root}/api/v1/scan/IPADDR") as pictrs:
        validation = Validation(pictrs, service, races)
        assert validation.upload(new_picture())[0].is_stored
        assert validation.upload(sample("red-triangle.png"))[0] == REFUSED


def test_with_a_wrong_secret_nothing_is_stored(service, races):
    with running_pictrs(f"{service.root}/api/v1/scan/a-wrong-secret") as pictrs:
        upload, said = Validation(pictrs, service, races).upload(new_picture())
        assert (said.outcome, upload) == ("unauthorised", REFUSED)
        assert pictrs.hashes() == []


def test_without_a_service_nothing_is_stored():
    with running_pictrs(f"http://127.0.0.1:{free_port()}/api/v1/scan/a-secret") as pictrs:
        assert pictrs.upload(new_picture()) == NOT_ANSWERED
        assert pictrs.hashes() == []


async def test_pict_rs_sends_what_the_client_of_the_other_tests_sends():
    body = new_picture(20_000)
    async with recording() as recorder:
        with running_pictrs(recorder.url) as pictrs:
            for _ in range(2):
                assert (await asyncio.to_thread(pictrs.upload, body)).is_stored
        theirs = list(recorder.requests)
        async with PictrsClient(recorder.url) as client:
            for _ in range(2):
                assert (await client.post(body)).is_kept
    ours = recorder.requests[len(theirs) :]
    assert [(each.line, set(each.headers)) for each in theirs] == [(each.line, set(each.headers)) for each in ours]
    for each in (theirs, ours):
        assert len({request.connection for request in each}) == 1, "one connection carries both"
    for request in (*theirs, *ours):
        if request.body == body:  # else it is a race of pict-rs
            assert request.chunk_sizes == (8192, 8192, 3616)
