"""Uploads to a real pict-rs that asks Pictwarden about each of them."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.pictrs_process import Mode
from serve_app.media.canary import draw_canary
from tests.e2e.pictrs.conftest import new_picture
from tests.e2e.pictrs.installation import NEED_MAGICK, magick_formats
from tests.e2e.pictrs.media import AS_FFMPEG_SEES_IT, MEDIA_TYPES, media, noise
from tests.e2e.pictrs.recorder import recording
from tests.e2e.pictrs.server import Upload, running_pictrs
from tests.e2e.pictrs.validating import FOLDER_GONE, NOT_ANSWERED, REFUSED, Validation, sha256_of
from tests.serve.conftest import ONE_PROCESS, environment_of_a_service, padded
from tests.serve.pictrs_client import PictrsClient

PICTRS_LIMIT_BYTES = 41_943_040

in_one_process = pytest.mark.parametrize("way", [ONE_PROCESS], indirect=True)
in_dummy_mode = pytest.mark.parametrize("mode", [Mode.DUMMY], indirect=True)


@pytest.fixture(params=MEDIA_TYPES)
def kind(request, mode):
    """A type that pict-rs takes."""
    wanted = NEED_MAGICK.get(request.param)
    if mode is Mode.FULL and wanted and wanted not in magick_formats():
        pytest.skip(f"pict-rs's full mode needs an ImageMagick 7 that reads {wanted}")
    return request.param


@pytest.fixture
def media_types(kind, mode):
    """As Pictwarden may see a file of that type."""
    return {MEDIA_TYPES[kind], *({AS_FFMPEG_SEES_IT.get(kind)} if mode is Mode.FULL else ())}


def test_an_accepted_file_of_each_type_is_stored(pictrs, validation, kind, media_types, number):
    upload, decision = validation.upload(media(kind, number, is_rejected=False))
    assert (upload.status, decision.verdict, decision.kept) == (201, "accept", True)
    assert decision.media_type in media_types
    (alias,) = upload.aliases
    assert sha256_of(pictrs.original(alias).content) == decision.sha256
    assert pictrs.aliases_of(decision.sha256) == [alias]


def test_a_rejected_file_of_each_type_is_not_stored(validation, kind, media_types, number):
    upload, decision = validation.upload(media(kind, number, is_rejected=True))
    assert upload == Upload(400, REFUSED, ())
    assert (decision.verdict, decision.rule, decision.kept) == ("reject", "red-triangle", False)
    assert decision.media_type in media_types
    validation.require_nothing_stored(decision.sha256)


@pytest.mark.parametrize("type_", ["PNG", "JPEG"])
def test_the_canary_is_not_stored(validation, type_):
    written = io.BytesIO()
    draw_canary().save(written, type_)
    upload, decision = validation.upload(written.getvalue())
    assert upload == Upload(400, REFUSED, ())
    assert decision.listed is not None
    assert (decision.verdict, decision.listed.bank) == ("reject", "canary")
    validation.require_nothing_stored(decision.sha256)


def test_a_whole_installation_is_proved_with_the_canary(service):
    command = [sys.executable, "-m", "serve_app.cli", "check", "--canary", "--url", service.url]
    done = subprocess.run(
        command, env=environment_of_a_service(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@in_dummy_mode
@pytest.mark.parametrize("length_bytes", [8191, 8192, 8193, PICTRS_LIMIT_BYTES])
def test_a_body_of_any_number_of_chunks_is_read_to_its_end(validation, length_bytes):
    upload, decision = validation.upload(new_picture(length_bytes))
    assert (decision.verdict, decision.body_bytes, upload.status) == ("accept", length_bytes, 201)


@pytest.mark.parametrize(("side_px", "in_pieces"), [(1_000, False), (1_000, True), (3_500, True)])
def test_a_large_picture_is_read_to_its_end(pictrs, validation, side_px, in_pieces, number):
    """In full mode pict-rs writes it anew before it asks."""
    body = noise(side_px, number)
    upload, decision = validation.upload(body, pictrs.upload_in_pieces if in_pieces else None)
    posted = validation.posted(body)
    assert len(posted) > 3 * side_px**2
    assert (decision.verdict, decision.body_bytes, upload.status) == ("accept", len(posted), 201)


def test_pict_rs_asks_nobody_about_a_file_that_is_too_large_for_it(pictrs, validation, mode):
    before = validation.seen()
    upload = pictrs.upload(new_picture(PICTRS_LIMIT_BYTES + 1))
    in_full_mode = Upload(413, "validate-file-size", ())
    assert upload == (in_full_mode if mode is Mode.FULL else Upload(500, "file-io-error", ()))
    assert validation.decided_since(before, 1) == []


def test_an_upload_without_a_length_is_scanned(pictrs, validation, number):
    accepted, rejected = (media("png", number, is_rejected=each) for each in (False, True))
    assert validation.upload(accepted, pictrs.upload_in_pieces)[0].is_stored
    assert validation.upload(rejected, pictrs.upload_in_pieces)[0] == Upload(400, REFUSED, ())


def test_a_duplicate_is_validated_again_and_stored_once(pictrs, validation, number):
    body = media("png", number, is_rejected=False)
    (first, decision), (second, again) = validation.upload(body), validation.upload(body)
    assert (decision.verdict, again.verdict) == ("accept", "accept")
    assert decision.id != again.id
    assert set(pictrs.aliases_of(decision.sha256)) == {*first.aliases, *second.aliases}
    assert len({*first.aliases, *second.aliases}) == 2


def test_twenty_uploads_at_once_are_all_answered_and_each_decided_on_once(pictrs, validation, number):
    """Four of them are the same file, and five are rejected."""
    twin = media("png", number, is_rejected=False)
    accepted = [media("jpeg", number + step, is_rejected=False) for step in range(11)] + [twin] * 4
    rejected = [media("jpeg", number + step, is_rejected=True) for step in range(5)]
    posted = [validation.posted(body) for body in (*accepted, *rejected)]
    before = validation.seen()
    with ThreadPoolExecutor(20) as senders:
        uploads = list(senders.map(pictrs.upload, (*accepted, *rejected)))
    decisions = validation.decided_since(before, 20)
    races = validation.count_races(decisions, 20, *posted)
    verdicts = Counter((each.sha256, each.verdict) for each in decisions)
    for body, upload in zip(posted, uploads, strict=True):
        sha256 = sha256_of(body)
        assert upload.is_stored or upload in (Upload(400, REFUSED, ()), FOLDER_GONE)
        if upload.is_stored:
            assert verdicts[sha256, "accept"]
            assert set(upload.aliases) <= set(pictrs.aliases_of(sha256))
    reasons = Counter((each.verdict, each.reason) for each in decisions)
    assert sum(upload.is_stored for upload in uploads) == reasons["accept", "policy"]
    assert races or reasons == {("accept", "policy"): 15, ("reject", "policy"): 5}
    for body in posted[15:]:
        validation.require_nothing_stored(sha256_of(body))


def test_an_empty_file_is_not_stored(pictrs, validation, mode):
    """In full mode pict-rs refuses it before it asks."""
    before = validation.seen()
    upload = pictrs.upload(b"")
    assert (upload.status, upload.code) == (400, REFUSED if mode is Mode.DUMMY else "validate-file-empty")
    assert validation.decided_since(before, 1) == []
    assert not pictrs.has_file(sha256_of(b""))


@in_dummy_mode
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "mp4"])
def test_a_file_without_its_end_is_not_stored(validation, kind, number):
    """In full mode its programs repair such a file, or refuse it, before pict-rs asks."""
    whole = media(kind, number, is_rejected=False)
    cut = whole[: len(whole) // 2]
    upload, decision = validation.upload(cut)
    assert upload == Upload(400, REFUSED, ())
    assert (decision.verdict, decision.reason, decision.kept) == (None, "truncated", False)
    validation.require_nothing_stored(decision.sha256)


def test_an_upload_that_breaks_off_is_not_stored(pictrs, validation, number):
    body = padded(media("png", number, is_rejected=False), 2_000_000)

    def broken_off():
        yield b'--b\r\ncontent-disposition: form-data; name="images[]"; filename="a"\r\n\r\n'
        yield body[:1_000_000]
        raise ConnectionError

    before = validation.seen()
    with pytest.raises(ConnectionError):
        pictrs.http.post("/image", content=broken_off(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert validation.upload(body)[0].is_stored
    assert len(validation.decided_since(before, 2)) == 1, "pict-rs asked about a part of a file"


@in_dummy_mode
def test_a_file_that_is_no_picture_is_not_stored(validation):
    body = b"no picture, which is nothing to pict-rs in dummy mode"
    upload, decision = validation.upload(body)
    assert (decision.verdict, decision.reason, upload) == (None, "unsupported", Upload(400, REFUSED, ()))
    validation.require_nothing_stored(decision.sha256)


@in_one_process
def test_at_ipaddr_a_trusted_address_is_enough(scanner, races, number):
    with running_pictrs(f"{scanner.service.root}/api/v1/scan/IPADDR") as pictrs:
        validation = Validation(pictrs, scanner, races)
        assert validation.upload(new_picture())[0].is_stored
        assert validation.upload(media("png", number, is_rejected=True))[0] == Upload(400, REFUSED, ())


def test_with_a_wrong_secret_nothing_is_stored(scanner, races):
    with running_pictrs(f"{scanner.service.root}/api/v1/scan/a-wrong-secret") as pictrs:
        validation = Validation(pictrs, scanner, races)
        before = validation.seen()
        assert pictrs.upload(new_picture()) == Upload(400, REFUSED, ())
        assert validation.decided_since(before, 1) == []
        assert pictrs.hashes() == []


def test_with_the_settings_of_production_an_address_works_and_a_name_does_not(scanner, races):
    """pict-rs calls no name that resolves to an address of a private network, not even that of its validator."""
    by_name = scanner.service.url.replace("127.0.0.1", "localhost")
    for url, is_asked in ((scanner.service.url, True), (by_name, False)):
        with running_pictrs(url, CLIENT__ALLOW_LOCAL_CONNECTIONS="false") as pictrs:
            validation = Validation(pictrs, scanner, races)
            if is_asked:
                assert validation.upload(new_picture())[0].is_stored
            else:
                before = validation.seen()
                assert pictrs.upload(new_picture()) == NOT_ANSWERED
                assert validation.decided_since(before, 1) == []


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
