"""The other ways by which a real pict-rs takes a file and has it scanned: background, download, proxy, import."""

from __future__ import annotations

import pytest

from tests.e2e.pictrs.media import media
from tests.e2e.pictrs.server import Upload
from tests.e2e.pictrs.validating import REFUSED


@pytest.fixture
def files(number):
    """One that is accepted, and one that is rejected."""
    return media("jpeg", number, is_rejected=False), media("jpeg", number, is_rejected=True)


def require_one_stored(validation, files, send, refused_status=400):
    accepted, rejected = files
    upload, decision = validation.upload(accepted, send)
    assert decision.verdict == "accept"
    (alias,) = upload.aliases
    assert validation.pictrs.original(alias).content == validation.posted(accepted)
    upload, decision = validation.upload(rejected, send)
    assert decision.verdict == "reject"
    assert upload == Upload(refused_status, REFUSED, ())
    validation.require_nothing_stored(decision.sha256)
    return alias


def test_an_upload_in_the_background_is_refused_when_it_is_claimed(pictrs, validation, files):
    require_one_stored(validation, files, pictrs.upload_in_background, 422)


@pytest.mark.parametrize("in_background", [False, True])
def test_a_download_is_scanned(pictrs, validation, files, another_server, in_background):
    send = pictrs.download_in_background if in_background else pictrs.download
    require_one_stored(
        validation,
        files,
        lambda body: send(another_server.url_of(f"/{hash(body)}.jpg", body)),
        422 if in_background else 400,
    )


def test_an_import_is_scanned_and_has_the_alias_that_it_was_given(pictrs, validation, files, number):
    alias = f"from-elsewhere-{number}.jpg"
    assert require_one_stored(validation, files, lambda body: pictrs.import_(body, alias)) == alias


def test_a_proxied_file_is_scanned_once_and_served(pictrs, validation, files, another_server, number):
    accepted, _ = files
    url = another_server.url_of(f"/accepted/{number}.jpg", accepted)
    _, decision = validation.upload(accepted, lambda _: proxied(pictrs, url))
    assert decision.verdict == "accept"
    before = validation.seen()
    for _ in range(2):
        assert pictrs.proxied(url).content == validation.posted(accepted)
    assert validation.decided_since(before, 1) == []
    assert len(pictrs.aliases_of(decision.sha256)) == 1


def test_a_rejected_proxied_file_is_asked_about_each_time_and_never_served(
    pictrs, validation, files, another_server, number
):
    _, rejected = files
    url = another_server.url_of(f"/rejected/{number}.jpg", rejected)
    for _ in range(2):
        upload, decision = validation.upload(rejected, lambda _: proxied(pictrs, url))
        assert (upload, decision.verdict) == (Upload(400, REFUSED, ()), "reject")
    assert another_server.fetched[f"/rejected/{number}.jpg"] >= 2
    validation.require_nothing_stored(decision.sha256)


def proxied(pictrs, url):
    answer = pictrs.proxied(url)
    if answer.status_code == 200:
        return Upload(200, None, ())
    fields = answer.json()
    return Upload(answer.status_code, fields["code"], ())
