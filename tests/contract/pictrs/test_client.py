"""What the client of pict-rs relies on: over a stand-in that has pict-rs's traps, and over a real pict-rs."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.domain import PictrsRefusedError, PictureGoneError, TooLargeError
from serve_app.pictrs import Reference, StoredPicture, newest_first, stored_between
from tests.contract.pictrs.conftest import Pictrs, a_moment_later, open_at

MAX_BYTES = 1_000_000


def new_body(length_bytes: int = 3000) -> bytes:
    return os.urandom(length_bytes)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def alias(name: str) -> Reference:
    return Reference("alias", name)


async def test_a_picture_is_found_by_its_bytes_and_by_each_alias(pictrs: Pictrs) -> None:
    body = new_body()
    aliases = {await pictrs.store(body), await pictrs.store(body)}
    found = await pictrs.client.find(sha256(body), len(body))
    assert found is not None
    assert (found.hash.sha256, found.hash.length_bytes, set(found.aliases)) == (sha256(body), len(body), aliases)
    for each in aliases:
        assert (await pictrs.client.picture(alias(each))).hash == found.hash
        assert set(await pictrs.client.aliases(alias(each))) == aliases


async def test_bytes_that_are_not_stored_are_not_found(pictrs: Pictrs) -> None:
    body = new_body()
    await pictrs.store(body)
    assert await pictrs.client.find(sha256(new_body()), len(body)) is None
    assert await pictrs.client.find(sha256(body), len(body) + 1) is None


@pytest.mark.parametrize("name", ["0b6d9ef7-24ad-4a4f-8a1e-6b2f0a3f4a11.png", "no such thing/at all?", "ä%2F"])
async def test_an_unknown_alias_leads_to_nothing(pictrs: Pictrs, name: str) -> None:
    assert await pictrs.client.aliases(alias(name)) == ()
    with pytest.raises(PictureGoneError, match="has no picture"):
        await pictrs.client.picture(alias(name))


async def test_an_address_that_was_never_proxied_leads_to_nothing(pictrs: Pictrs) -> None:
    assert await pictrs.client.aliases(Reference("proxy", "https://example.org/a.png")) == ()


async def test_the_original_is_fetched_whole_or_in_part(pictrs: Pictrs) -> None:
    body = new_body(700_000)
    picture = await pictrs.client.picture(alias(await pictrs.store(body)))
    assert await pictrs.client.original(picture, MAX_BYTES) == body
    counts = (1, 8192, 8193, 699_999, 700_000, 900_000)
    for count in counts:
        assert await pictrs.client.sha256_of_first(picture, count) == sha256(body[:count])
    expected = {count: sha256(body[:count]) for count in counts}
    assert await pictrs.client.sha256s_of_first(picture, counts) == expected
    with pytest.raises(TooLargeError, match="700000 bytes long; the limit is 699999"):
        await pictrs.client.original(picture, 699_999)


async def test_a_purged_picture_is_gone_with_all_its_aliases(pictrs: Pictrs) -> None:
    body = new_body()
    aliases = {await pictrs.store(body), await pictrs.store(body)}
    picture = await pictrs.client.picture(alias(min(aliases)))
    assert set(await pictrs.client.purge(picture)) == aliases
    assert await pictrs.client.find(sha256(body), len(body)) is None
    for call in (
        pictrs.client.original(picture, MAX_BYTES),
        pictrs.client.sha256_of_first(picture, 10),
        pictrs.client.picture(alias(max(aliases))),
    ):
        with pytest.raises(PictureGoneError):
            await call
    assert await pictrs.client.purge(picture) == ()


async def test_a_picture_is_purged_though_its_aliases_have_changed(pictrs: Pictrs) -> None:
    body = new_body()
    picture = await pictrs.client.picture(alias(await pictrs.store(body)))
    other = await pictrs.store(body)
    outdated = StoredPicture(picture.hash, ("0b6d9ef7-24ad-4a4f-8a1e-6b2f0a3f4a11.png",))
    assert set(await pictrs.client.purge(outdated)) == {*picture.aliases, other}
    assert await pictrs.client.find(sha256(body), len(body)) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_a_walk_meets_each_picture_once_and_the_newest_first(pictrs: Pictrs, limit: int) -> None:
    bodies = [new_body() for _ in range(5)]
    for body in bodies:
        await pictrs.store(body)
    walked = [picture.hash.sha256 async for picture in newest_first(pictrs.client, limit=limit)]
    assert walked[:5] == [sha256(body) for body in reversed(bodies)]
    assert len(set(walked)) == len(walked)


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_a_walk_that_purges_ends_and_leaves_nothing_out(pictrs: Pictrs, limit: int) -> None:
    bodies = [new_body() for _ in range(5)]
    for body in bodies:
        await pictrs.store(body)
    purged = []
    async for picture in newest_first(pictrs.client, limit=limit):
        if picture.hash.sha256 in map(sha256, bodies):
            await pictrs.client.purge(picture)
            purged.append(picture.hash.sha256)
    assert purged == [sha256(body) for body in reversed(bodies)]


async def test_pictures_are_found_by_the_time_at_which_they_were_stored(pictrs: Pictrs) -> None:
    bodies, moments = [], []
    for _ in range(4):
        bodies.append(new_body())
        await pictrs.store(bodies[-1])
        moments.append(a_moment_later())
    between = [each.hash.sha256 async for each in stored_between(pictrs.client, moments[0], moments[2], limit=1)]
    assert between == [sha256(bodies[2]), sha256(bodies[1])]
    later = datetime.now(UTC) + timedelta(seconds=60)
    assert [each async for each in stored_between(pictrs.client, moments[3], later)] == []


async def test_a_wrong_key_is_said(pictrs: Pictrs) -> None:
    async with open_at(pictrs.url, "another-key") as client:
        with pytest.raises(PictrsRefusedError, match="set PICTWARDEN_PICTRS_API_KEY here"):
            await client.page()
