"""The admin API on who brought a picture: asked of pict-rs and Lemmy at the moment that somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from aiohttp import web

from serve_app.administration import uploaders
from serve_app.domain import Lane
from serve_app.lemmy import TOKEN_ENV
from tests.contract.lemmy.stand_in import TOKEN, Lemmy, fill, lemmy_standing_in, problem
from tests.unit.http.list_admin import LET_THROUGH, NOON, PICTURE, Admin, decision, running_admin

PATH = "/decisions/r-1/uploaders"
LIST = "/api/v3/admin/list_all_media"


@dataclass
class Bench:
    """The admin API between pict-rs and Lemmy."""

    admin: Admin
    lemmy: Lemmy

    async def decide(self, *, kept: bool = True, after: timedelta = timedelta(), lane: Lane = Lane.LIVE) -> None:
        made = decision(f"r-{1 + int(after.total_seconds())}", LET_THROUGH, kept=kept)
        await self.admin.ledger.record(replace(made, decided_at=NOON + after, lane=lane))


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    async with (
        lemmy_standing_in("v3") as lemmy,
        running_admin(monkeypatch, lemmy={"url": lemmy.url}) as admin,
    ):
        yield Bench(admin, lemmy)


async def test_who_uploaded_a_picture_and_what_shows_it(bench: Bench) -> None:
    alias = bench.admin.pictrs.store(PICTURE)
    await bench.decide()
    bench.lemmy.upload(alias, NOON + timedelta(seconds=1))
    bench.lemmy.post(7, url=f"https://lemmy.example/pictrs/image/{alias}")
    told = await bench.admin.ask(PATH)
    assert (told["aliases"], told["notes"]) == ([alias], [])
    (upload,) = told["uploads"]
    assert (upload["alias"], upload["person"], upload["thumbnail_of"]) == (alias, "alice@lemmy.example", None)
    (shown,) = told["shown"]
    assert shown == {"kind": "post", "id": 7, "url": "https://lemmy.example/post/7", "author": "alice@lemmy.example"}


async def test_nothing_of_it_is_recorded(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.lemmy.upload(bench.admin.pictrs.store(PICTURE), NOON)
    await bench.decide()
    await bench.admin.ask(PATH)
    bench.lemmy.answers[LIST] = lambda: web.json_response({"images": [{"person": {"name": "alice"}}]})
    await bench.admin.ask(PATH, 409)
    audit = await bench.admin.ledger.audit_trail()
    # The admin of these tests is called alice, too.
    assert "alice@" not in repr(audit)
    assert all("alice" not in repr(each.detail) for each in audit)
    assert "alice@" not in caplog.text


async def test_the_first_upload_of_these_bytes_is_found_for_a_later_decision(bench: Bench) -> None:
    first, second = (bench.admin.pictrs.store(PICTURE) for _ in range(2))
    for alias, after in ((first, timedelta()), (second, timedelta(hours=2))):
        await bench.decide(after=after)
        bench.lemmy.upload(alias, NOON + after)
        fill(bench.lemmy, 60, NOON + after + timedelta(minutes=30))
    told = await bench.admin.ask("/decisions/r-7201/uploaders")
    assert {each["alias"] for each in told["uploads"]} == {first, second}


@pytest.mark.parametrize("lane", Lane)
async def test_an_upload_from_before_the_first_recorded_decision_is_found(bench: Bench, lane: Lane) -> None:
    alias = bench.admin.pictrs.store(PICTURE)
    bench.lemmy.upload(alias, NOON - timedelta(days=40))
    fill(bench.lemmy, 120, NOON - timedelta(minutes=30))
    await bench.decide(lane=lane)
    told = await bench.admin.ask(PATH)
    assert ([each["person"] for each in told["uploads"]], len(told["notes"])) == (["alice@lemmy.example"], 1)


async def test_a_picture_that_was_refused_is_not_there(bench: Bench) -> None:
    await bench.decide(kept=False)
    told = await bench.admin.ask(PATH)
    assert (told["aliases"], told["uploads"], told["shown"]) == ([], [], [])
    assert "Lemmy records no upload that was refused" in told["notes"][0]
    assert bench.lemmy.requests == []


async def test_what_lemmy_does_not_know_is_said(bench: Bench) -> None:
    alias = bench.admin.pictrs.store(PICTURE)
    await bench.decide()
    told = await bench.admin.ask(PATH)
    assert told["aliases"] == [alias]
    unlisted, unseen = told["notes"]
    assert unlisted.startswith(f"Lemmy lists no upload of {alias}: it comes from another instance")
    assert unseen.startswith("No post or comment with it was found")
    fill(bench.lemmy, 5000, NOON + timedelta(hours=2))
    assert "which go back to 2026-01-31 12:36 UTC: it is among the others" in (await bench.admin.ask(PATH))["notes"][0]


async def test_a_lemmy_that_cannot_be_asked_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.admin.pictrs.store(PICTURE)
    await bench.decide()
    bench.lemmy.answers[LIST] = lambda: problem("not_an_admin")
    assert "an admin there" in (await bench.admin.ask(PATH, 409))["message"]
    bench.lemmy.answers[LIST] = lambda: web.Response(status=429)
    assert "asked too often" in (await bench.admin.ask(PATH, 503))["message"]
    await bench.admin.ask("/decisions/nothing/uploaders", 404)
    monkeypatch.delenv(TOKEN_ENV)
    assert f"set {TOKEN_ENV}" in (await bench.admin.ask(PATH, 409))["message"]


async def test_a_look_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(self: uploaders.Uploaders, decision: object) -> uploaders.Whereabouts:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(uploaders, "WITHIN_S", 0.01)
    monkeypatch.setattr(uploaders.Uploaders, "_look", hangs)
    await bench.decide()
    assert "within" in (await bench.admin.ask(PATH, 503))["message"]


async def test_it_is_off_unless_an_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_admin(monkeypatch) as admin:
        await admin.ledger.record(decision("r-1", LET_THROUGH, kept=True))
        assert "lemmy.url is not set" in (await admin.ask(PATH, 409))["message"]


async def test_pictures_of_another_source_are_looked_for_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    sources = {"elsewhere": {"secrets_env": "PICTWARDEN_SECRETS_ELSEWHERE"}}
    async with (
        lemmy_standing_in("v3") as lemmy,
        running_admin(monkeypatch, lemmy={"url": lemmy.url}, sources=sources) as admin,
    ):
        admin.pictrs.store(PICTURE)
        await admin.ledger.record(replace(decision("r-1", LET_THROUGH, kept=True), source="elsewhere"))
        assert (await admin.ask(PATH))["aliases"] == []
        assert (lemmy.requests, admin.pictrs.requests) == ([], [])
