"""Several instances on one service: each with its secret, policy, lists, quota and answer without a scan."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import SettingsError, UnauthorisedError
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.http.guard import Guard
from serve_app.ledger.spool import Spool
from serve_app.ledger.sql import SqlLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.moderation.sinks import Budgets
from serve_app.policy import Policy
from serve_app.settings import AuthenticationSettings, SourceSettings, parse_settings
from tests.unit.conftest import Service, secret_of

GREEN = (0, 255, 0)
Make = Callable[..., Service]
Draw = Callable[..., bytes]


def sources(**keys: dict[str, Any]) -> dict[str, Any]:
    """The setting: each source with these keys, beside its secret."""
    return {name: {"secrets_env": f"SECRETS_{name}", **of_source} for name, of_source in keys.items()}


def path_of(source: str) -> str:
    return f"/api/v1/scan/{secret_of(source)}"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


# Who asks


def guard_of(secrets: str = "a-secret-without-a-name", **of_sources: str) -> Guard:
    settings = {name: SourceSettings(secrets_env=name.upper()) for name in of_sources}
    environment = {"PICTWARDEN_SECRETS": secrets} | {name.upper(): each for name, each in of_sources.items()}
    return Guard.from_environment(
        AuthenticationSettings(),
        environment | {"PICTWARDEN_ADMIN_SECRETS": "bob:the-secret-of-bob"},
        settings,
    )


def test_each_secret_names_its_source() -> None:
    guard = guard_of(a="first-secret-of-a,second-secret-of-a", b="the-only-secret-of-b")
    assert guard.require_scanner("first-secret-of-a", None, None) == "a"
    assert guard.require_scanner("", "Bearer second-secret-of-a", None) == "a"
    assert guard.require_scanner("the-only-secret-of-b", None, None) == "b"
    assert guard.require_scanner("a-secret-without-a-name", None, None) == "unnamed"
    with pytest.raises(UnauthorisedError):
        guard.require_scanner("first-secret-of-a,second-secret-of-a", None, None)


def test_where_sources_have_names_nobody_else_needs_a_secret() -> None:
    guard = guard_of("", a="first-secret-of-a")
    assert guard.require_scanner("first-secret-of-a", None, None) == "a"
    with pytest.raises(UnauthorisedError):
        guard.require_scanner("", None, None)


@pytest.mark.parametrize(
    ("of_sources", "message"),
    [
        (
            {"a": "the-same-for-two", "b": "a-secret-of-b-alone,the-same-for-two"},
            r"B \(sources.b\) is also in A \(sources.a\)",
        ),
        ({"a": "a-secret-without-a-name"}, r"A \(sources.a\) is also in PICTWARDEN_SECRETS"),
        ({"a": "the-secret-of-bob"}, r"PICTWARDEN_ADMIN_SECRETS is also in A \(sources.a\)"),
        ({"a": " , "}, "sources.a has no secret: set A in the environment"),
        ({"a": "short"}, "A is too short"),
    ],
)
def test_a_secret_that_names_no_source_or_two_is_refused(of_sources: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        guard_of(**of_sources)
    assert "the-same-for-two" not in str(caught.value)


@pytest.mark.parametrize("name", ["unnamed", "rescan", "admin", "Lemmy", "a b", "-a", "a" * 33, ""])
def test_a_name_that_is_taken_or_unusable_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  sources\.{name}: "):
        parse_settings({"sources": {name: {"secrets_env": "X"}}})


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({}, r"a\.secrets_env"),
        ({"secrets_env": "X", "qouta_per_minute": 3}, r"a\.qouta_per_minute: there is no such key"),
        ({"secrets_env": "X", "quota_per_minute": 0}, r"a\.quota_per_minute"),
        ({"secrets_env": "X", "share": 0}, r"a\.share"),
        ({"secrets_env": "X", "preset": "nfsw"}, r"a\.preset: there is no preset 'nfsw'"),
        ({"secrets_env": "X", "preset": "nsfw", "policy": "b.yaml"}, r"a: nsfw stands for a policy"),
        (3, "a: is a section"),
    ],
)
def test_a_source_that_is_set_wrongly_is_refused_by_its_key(keys: object, place: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  sources\.{place}"):
        parse_settings({"sources": {"a": keys}})


def test_the_pict_rs_that_is_asked_belongs_to_one_source() -> None:
    assert parse_settings({}).pictrs_source is None, "all of it is one source's"
    two = sources(a={}, b={})
    assert parse_settings({"sources": two}).pictrs_source == "unnamed"
    assert parse_settings({"sources": two, "pictrs": {"source": "b"}}).pictrs_source == "b"


@pytest.mark.parametrize("named", [{}, {"sources": sources(b={})}])
def test_a_pict_rs_of_no_source_is_refused(named: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"(?m)^  pictrs\.source: sources has no such name"):
        parse_settings({"pictrs": {"source": "a"}, **named})


# What is decided, and what is told of it


async def test_every_decision_and_log_line_names_its_source(
    make_service: Make, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    service = make_service(sources=sources(a={}, b={}))
    with caplog.at_level(logging.INFO):
        for source in ("a", "b"):
            service.answered(await service.scan(draw(), path_of(source)), 200)
            service.answered(await service.scan(b"", path_of(source)), 400)
    service.answered(await service.scan(draw()), 200)
    assert [each.source for each in service.ledger.recorded] == ["a", "b", "unnamed"]
    for source in ("a", "b"):
        lines = [each.message for each in caplog.records if f"source={source}" in each.message]
        assert len(lines) == 2, "a decision and a refusal"


async def test_the_same_picture_is_judged_by_the_policy_of_its_source(
    make_service: Make, make_policy: Callable[..., Policy], draw: Draw
) -> None:
    strict = make_policy(**{"policy: colours": "policy: strict", "verdict: flag": "verdict: reject"})
    service = make_service(sources=sources(a={"policy": "strict.yaml"}, b={}), of_sources={"a": strict})
    body = draw(GREEN)
    for _ in range(2):  # examined, and then recalled
        assert service.answered(await service.scan(body, path_of("b")), 200)["verdict"] == "flag"
        refused = service.answered(await service.scan(body, path_of("a")), 406)
        assert (refused["verdict"], refused["policy"].partition("@")[0]) == ("reject", "strict")
    assert service.scorer.calls == 1, "what was seen is shared, as the labels are the same"


async def test_twins_of_two_sources_share_what_was_seen_and_no_verdict(
    make_service: Make, make_policy: Callable[..., Policy], draw: Draw
) -> None:
    strict = make_policy(**{"policy: colours": "policy: strict", "verdict: flag": "verdict: reject"})
    service = make_service(sources=sources(a={"policy": "strict.yaml"}, b={}), of_sources={"a": strict})
    service.scorer.hangs = True
    body = draw(GREEN)
    scans = [asyncio.create_task(service.scan(body, path_of(source))) for source in ("a", "b", "a")]
    await service.scorer.entered.wait()
    await until(lambda: len(service.admission.arrivals) == 3)
    service.scorer.release.set()
    statuses = [response.status_code for response in await asyncio.gather(*scans)]
    assert (statuses, service.scorer.calls) == ([406, 200, 406], 1)


async def test_a_source_may_have_other_labels_than_the_service(
    make_service: Make, make_policy: Callable[..., Policy], draw: Draw
) -> None:
    of_blue = make_policy(**{"policy: colours": "policy: of-blue", "a red view": "a blue view", "no-red": "no-blue"})
    service = make_service(sources=sources(a={"policy": "of-blue.yaml"}), of_sources={"a": of_blue})
    blue, red = draw((0, 0, 255)), draw((255, 0, 0))
    assert service.answered(await service.scan(blue, path_of("a")), 406)["rule"] == "no-blue"
    service.answered(await service.scan(red, path_of("a")), 200)
    service.answered(await service.scan(blue), 200)
    assert service.answered(await service.scan(red), 406)["rule"] == "no-red"


@pytest.mark.parametrize("is_sql", [False, True])
async def test_sources_with_other_labels_that_get_a_picture_in_turn_have_it_scanned_once_each(
    make_service: Make,
    make_policy: Callable[..., Policy],
    draw: Draw,
    tmp_path: Path,
    is_sql: bool,
) -> None:
    of_blue = make_policy(**{"policy: colours": "policy: of-blue", "a red view": "a blue view", "no-red": "no-blue"})
    service = make_service(
        sources=sources(a={"policy": "of-blue.yaml"}, b={}),
        of_sources={"a": of_blue},
        budgets=Budgets(recall_s=8.0, sink_s=8.0),  # a machine that is busy is no miss
    )
    body = draw((0, 0, 255))
    with contextlib.ExitStack() as stack:
        if is_sql:
            location = Location(tmp_path, tmp_path / "ledger.db")
            spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
            in_time = SqlLedger(open_database(location), spool, commit_wait_s=30.0)
            service.ledger.kept = stack.enter_context(contextlib.closing(in_time))
        for _ in range(3):
            service.answered(await service.scan(body, path_of("b")), 200)
            assert service.answered(await service.scan(body, path_of("a")), 406)["rule"] == "no-blue"
    assert service.scorer.calls == 2


async def test_each_source_says_what_becomes_of_a_picture_that_was_not_scanned(make_service: Make, draw: Draw) -> None:
    service = make_service(sources=sources(a={"on_unscanned": "accept"}, b={}))
    service.scorer.fault = MemoryError()
    assert service.answered(await service.scan(draw(), path_of("a")), 200)["verdict"] is None
    service.answered(await service.scan(draw(), path_of("b")), 503)
    assert [(each.source, each.is_pending) for each in service.ledger.recorded] == [("a", True), ("b", False)]


async def test_a_bank_applies_to_the_sources_that_name_it(make_service: Make, draw: Draw) -> None:
    store = MemoryListStore()
    lists = LiveLists(store)
    body = draw()
    digest = Fingerprint(FingerprintType.SHA256, hashlib.sha256(body).digest())
    store.add([EntryDraft(kind=ListKind.DENY, fingerprint=digest, bank="ours", reason="known")])
    lists.refresh()
    service = make_service(
        sources=sources(a={"lists": ["ours"]}, b={"lists": []}, c={"lists": ["theirs"]}, d={}), lists=lists
    )
    statuses = [(await service.scan(body, path_of(source))).status_code for source in "abcd"]
    assert statuses == [406, 200, 200, 406]
    assert "the lists have no bank theirs, which sources name" in (await service.request("GET", "/readyz")).text


# Quotas


async def test_twice_the_quota_is_sent_and_the_quota_is_scanned(
    make_service: Make, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    service = make_service(sources=sources(a={"quota_per_minute": 3}, b={}))
    answers = [await service.scan(draw((0, 0, shade)), path_of("a")) for shade in range(6)]
    assert [each.status_code for each in answers] == [200] * 3 + [503] * 3
    refused = service.answered(answers[-1], 503)
    assert (refused["reason"], answers[-1].headers["retry-after"]) == ("overloaded", "30")
    assert "quota of 3 pictures a minute" in refused["message"]
    assert "x-pictwarden-full-for-ms" not in answers[-1].headers, "the front end would refuse pictures of b too"
    service.answered(await service.scan(draw(), path_of("b")), 200)
    assert service.moderator.over_quota == {"a": 3}
    assert sum("over its quota" in each.message for each in caplog.records) == 1


@pytest.mark.parametrize("on_unscanned", ["reject", "accept"])
async def test_over_the_quota_the_body_is_not_read(make_service: Make, draw: Draw, on_unscanned: str) -> None:
    service = make_service(sources=sources(a={"quota_per_minute": 1, "on_unscanned": on_unscanned}))
    service.answered(await service.scan(draw(), path_of("a")), 200)
    service.answered(await service.scan(service.unreadable(), path_of("a")), 503)
    assert service.admission.demand == 1, "no replica more would help"


async def test_nobody_has_a_picture_stored_unscanned_by_using_the_quota_up(make_service: Make, draw: Draw) -> None:
    service = make_service(sources=sources(a={"quota_per_minute": 2, "on_unscanned": "accept"}))
    answers = [await service.scan(draw((0, 0, shade)), path_of("a")) for shade in range(5)]
    assert [each.status_code for each in answers] == [200, 200, 503, 503, 503]
    assert [each.is_pending for each in service.ledger.recorded] == [False, False]


async def test_one_source_that_has_filled_the_service_leaves_room_for_another(make_service: Make, draw: Draw) -> None:
    service = make_service(sources=sources(a={}, b={}))
    service.scorer.hangs = True
    many = [asyncio.create_task(service.scan(draw((0, 1, shade)), path_of("a"))) for shade in range(64)]
    await until(lambda: service.scorer.calls == 64)
    refused = await service.scan(service.unreadable(), path_of("a"))
    assert service.answered(refused, 503)["reason"] == "overloaded"
    assert "x-pictwarden-full-for-ms" not in refused.headers
    few = [asyncio.create_task(service.scan(draw((0, 2, shade)), path_of("b"))) for shade in range(32)]
    await until(lambda: service.scorer.calls == 96)
    service.answered(await service.scan(service.unreadable(), path_of("b")), 503)
    service.scorer.release.set()
    assert {each.status_code for each in await asyncio.gather(*many, *few)} == {200}


async def test_bodies_of_a_source_that_do_not_end_leave_room_for_another(make_service: Make, draw: Draw) -> None:
    accept = {"on_unscanned": "accept"}
    service = make_service(sources=sources(a=accept, b={}, c=accept))
    may_end, begun = asyncio.Event(), []

    async def slow(body: bytes) -> AsyncIterator[bytes]:
        begun.append(body)
        await may_end.wait()
        yield body

    many = [asyncio.create_task(service.scan(slow(draw((0, 1, shade))), path_of("a"))) for shade in range(150)]
    await until(lambda: len(begun) == 150)
    for source in ("b", "c"):
        assert service.answered(await service.scan(draw((1, 0, 0)), path_of(source)), 200)["verdict"] == "accept"
    may_end.set()
    assert {each.status_code for each in await asyncio.gather(*many)} == {200}
