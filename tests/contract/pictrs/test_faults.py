"""pict-rs as it may answer: gone, broken, older, behind object storage, or something else altogether."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from serve_app.domain import (
    PictrsRefusedError,
    PictrsUnavailableError,
    PictureGoneError,
    PictureSpoiltError,
    SettingsError,
)
from serve_app.pictrs import API_KEY_ENV, PictrsClient, Reference, StoredPicture, open_pictrs
from serve_app.pictrs import client as client_module
from serve_app.settings import PictrsSettings
from tests.contract.pictrs.conftest import open_at
from tests.contract.pictrs.stand_in import API_KEY, StandIn, Stored, standing_in
from tests.serve.conftest import free_port

MAX_BYTES = 1_000_000
HASHES = "/internal/hashes"


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with standing_in() as started:
        yield started


@pytest.fixture
async def client(stand_in: StandIn) -> AsyncIterator[PictrsClient]:
    async with open_at(stand_in.url, API_KEY) as opened:
        yield opened


async def stored(client: PictrsClient, stand_in: StandIn, body: bytes) -> StoredPicture:
    return await client.picture(Reference("alias", stand_in.store(body)))


async def test_a_pict_rs_that_is_not_there_is_said_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with open_at(url, API_KEY) as client:
        with pytest.raises(PictrsUnavailableError, match=rf"^no answer from pict-rs at {url} \(.+\): is it running"):
            await client.page()


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        (None, API_KEY, r"pictrs\.url is not set"),
        *(("http://127.0.0.1", key, "set PICTWARDEN_PICTRS_API_KEY in") for key in ("", " ", "ä", "a\nb")),
    ],
)
async def test_what_is_not_set_is_said(url: str | None, key: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        async with open_pictrs(PictrsSettings(url=url), {API_KEY_ENV: key}):
            pass


async def test_the_key_of_a_file_is_the_one_that_it_has_at_each_use(stand_in: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    environment = {f"{API_KEY_ENV}_FILE": str(file)}
    for key, error in (("an-old-key-of-pict-rs", PictrsRefusedError), (API_KEY, None)):
        file.write_text(f"{key}\n", "ascii")
        async with open_pictrs(PictrsSettings(url=stand_in.url), environment) as client:
            with pytest.raises(error) if error else contextlib.nullcontext():
                await client.page()
    file.unlink()
    with pytest.raises(SettingsError, match=f"^{API_KEY_ENV}_FILE names .* cannot be read"):
        async with open_pictrs(PictrsSettings(url=stand_in.url), environment):
            pass


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (500, '{"msg":"sled","code":"sled-error"}', PictrsUnavailableError, r"failed \(500 sled-error\): see its log"),
        (502, "<html>secret</html>", PictrsUnavailableError, r"failed \(502 without a code\)"),
        (429, "", PictrsUnavailableError, r"failed \(429 without a code\)"),
        (400, '{"msg":"read only","code":"read-only"}', PictrsRefusedError, "unset PICTRS__SERVER__READ_ONLY"),
        (404, "", PictrsRefusedError, "older than 0.5, or is not pict-rs: check pictrs.url"),
        (200, "<html>hello</html>", PictrsRefusedError, "check pictrs.url"),
        (200, '["ok"]', PictrsRefusedError, "check pictrs.url"),
        (302, "", PictrsRefusedError, "check pictrs.url"),
        (200, '{"msg":"ok"}', PictrsRefusedError, "in another way"),
        (200, '{"msg":"ok","page":{"hashes":[{"hex":"00","aliases":[]}]}}', PictrsRefusedError, "in another way"),
    ],
)
async def test_another_answer_than_pict_rs_gives_is_an_error_with_a_way_out(
    client: PictrsClient, stand_in: StandIn, status: int, body: str, error: type[Exception], said: str
) -> None:
    stand_in.answers[HASHES] = lambda: web.Response(
        status=status, text=body, headers={"Location": "/elsewhere"} if status == 302 else None
    )
    with pytest.raises(error, match=said) as caught:
        await client.page()
    assert "html" not in str(caught.value)


async def test_an_answer_without_an_end_is_not_read_to_it(
    client: PictrsClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.pictrs.transport._MAX_ANSWER_BYTES", 1000)
    stand_in.answers[HASHES] = lambda: web.Response(body=bytes(1001))
    with pytest.raises(PictrsRefusedError, match="too long"):
        await client.page()


async def test_a_purge_that_is_not_done_is_said(
    client: PictrsClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_PURGE_TIMEOUT_S", 0.0)
    picture = await stored(client, stand_in, b"a picture")
    with pytest.raises(PictrsUnavailableError, match=rf"still has {picture.aliases[0]}"):
        await client.purge(picture)


async def test_bytes_that_are_uploaded_again_while_they_are_purged_are_purged_too(
    client: PictrsClient, stand_in: StandIn
) -> None:
    picture = await stored(client, stand_in, b"a picture")
    stand_in.after_purge = lambda: stand_in.store(b"a picture")
    assert len(await client.purge(picture)) == 2
    assert stand_in.stored == []


async def test_a_picture_without_an_alias_cannot_be_purged_and_needs_not(
    client: PictrsClient, stand_in: StandIn
) -> None:
    picture = await stored(client, stand_in, b"a picture")
    stand_in.stored[0].aliases.clear()
    assert await client.purge(picture) == ()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (500, "not-found", PictureGoneError),  # its file is lost
        (404, "", PictureGoneError),
        (500, "sled-error", PictrsUnavailableError),
        (503, "", PictrsUnavailableError),
        (403, "", PictrsRefusedError),
    ],
)
async def test_a_picture_is_gone_only_where_pict_rs_says_so(
    client: PictrsClient, stand_in: StandIn, status: int, code: str, error: type[Exception]
) -> None:
    picture = await stored(client, stand_in, b"a picture")
    stand_in.answers[f"/image/original/{picture.aliases[0]}"] = lambda: web.json_response({"code": code}, status=status)
    with pytest.raises(error):
        await client.original(picture, MAX_BYTES)


@pytest.mark.parametrize("count", [5, 9, 100])
async def test_the_picture_that_stands_for_those_that_are_not_found_is_not_the_picture(
    client: PictrsClient, stand_in: StandIn, count: int
) -> None:
    picture = await stored(client, stand_in, b"a picture")
    name = hashlib.sha256(b"not found").digest() + (9).to_bytes(6, "big") + b"\x07"
    stand_in.not_found = Stored(name, b"not found", stand_in.stored[0].stored_at, [])
    stand_in.forget(picture.aliases[0])
    with pytest.raises(PictureGoneError):
        await client.sha256_of_first(picture, count)
    with pytest.raises(PictureGoneError):
        await client.original(picture, MAX_BYTES)


async def test_an_alias_that_leads_elsewhere_now_is_passed_over(client: PictrsClient, stand_in: StandIn) -> None:
    body = os.urandom(100)
    aliases = (stand_in.store(b"another picture"), stand_in.store(body))
    picture = await client.picture(Reference("alias", aliases[1]))
    assert await client.original(StoredPicture(picture.hash, aliases), MAX_BYTES) == body


async def test_bytes_that_end_too_early_are_no_picture(client: PictrsClient, stand_in: StandIn) -> None:
    picture = await stored(client, stand_in, b"a picture")
    (alias,) = picture.aliases
    etag = stand_in.stored[0].etag
    stand_in.answers[f"/image/original/{alias}"] = lambda: web.Response(body=b"a pict", headers={"ETag": etag})
    with pytest.raises(PictureSpoiltError, match="sent other bytes than it has stored"):
        await client.original(picture, MAX_BYTES)


# Object storage


async def test_object_storage_is_followed_where_the_settings_name_it(stand_in: StandIn) -> None:
    stand_in.public_endpoint = f"{stand_in.url}/bucket"
    body = os.urandom(100_000)
    async with open_at(stand_in.url, API_KEY, public_endpoint=stand_in.public_endpoint) as client:
        picture = await stored(client, stand_in, body)
        assert picture.hash.sha256 == hashlib.sha256(body).hexdigest()
        assert await client.original(picture, MAX_BYTES) == body
        assert await client.sha256_of_first(picture, 10) == hashlib.sha256(body[:10]).hexdigest()
        stand_in.stored[0].body = bytes(100_000)
        with pytest.raises(PictureSpoiltError, match="sent other bytes"):
            await client.original(picture, MAX_BYTES)
    asked = [request for request in stand_in.requests if request.path.startswith("/bucket/")]
    assert asked
    assert all("X-Api-Token" not in request.headers for request in asked)


@pytest.mark.parametrize("endpoint", [None, "https://other.example/bucket", "{url}/bucket2", "{url}/bucket/sub"])
async def test_no_other_address_is_ever_asked(stand_in: StandIn, endpoint: str | None) -> None:
    stand_in.public_endpoint = f"{stand_in.url}/bucket"
    allowed = endpoint and endpoint.format(url=stand_in.url)
    async with open_at(stand_in.url, API_KEY, public_endpoint=allowed) as client:
        with pytest.raises(PictrsRefusedError, match=rf"on to {stand_in.url}: set pictrs.public_endpoint"):
            await stored(client, stand_in, b"a picture")
    assert not [request for request in stand_in.requests if request.path.startswith("/bucket/")]


async def test_the_key_goes_to_the_internal_api_alone(client: PictrsClient, stand_in: StandIn) -> None:
    picture = await stored(client, stand_in, b"a picture")
    await client.original(picture, MAX_BYTES)
    with_key = {request.path.split("/")[1] for request in stand_in.requests if "X-Api-Token" in request.headers}
    assert with_key == {"internal"}


async def test_an_etag_that_is_padded_or_weak_is_read(client: PictrsClient, stand_in: StandIn) -> None:
    alias = stand_in.store(b"a picture")
    name = base64.b64encode(stand_in.stored[0].name).decode()
    stand_in.answers[f"/image/original/{alias}"] = lambda: web.Response(
        body=b"a picture", headers={"ETag": f'W/"{name}"'}
    )
    picture = await client.picture(Reference("alias", alias))
    assert await client.original(picture, MAX_BYTES) == b"a picture"
