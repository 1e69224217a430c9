"""What becomes of the pictures that were let through unscanned."""

from __future__ import annotations

import hashlib

import pytest
from aiohttp import web

from serve_app.domain import ADMIN_SOURCE, RESCAN_SOURCE, UNNAMED_SOURCE, PictrsRefusedError
from serve_app.purges import purges_since
from serve_app.storage import Result
from tests.unit.storage.conftest import MAX_BODY_BYTES, NOON, Bench, Quota


@pytest.mark.parametrize(
    ("word", "result", "is_done"),
    [
        ("accept", Result.ACCEPTED, True),
        ("flag", Result.ACCEPTED, True),
        ("reject", Result.REJECTED, False),
        ("undecodable", Result.UNSCANNABLE, True),
        ("truncated", Result.UNSCANNABLE, True),
        ("unsupported", Result.UNSCANNABLE, True),
        ("too_large", Result.UNSCANNABLE, True),
        ("deadline", Result.LATER, False),
        ("overloaded", Result.LATER, False),
        ("unavailable", Result.LATER, False),
        ("something_new", Result.LATER, False),
    ],
)
async def test_the_answer_of_the_service_says_what_becomes_of_it(
    bench: Bench, word: str, result: Result, is_done: bool
) -> None:
    body = f"{word} this".encode()
    alias = bench.pictrs.store(body)
    finding = await bench.rescan(body)
    assert (finding.result, finding.result.is_done) == (result, is_done)
    assert (finding.aliases, finding.why) == ((alias,), "said.")
    assert len(bench.pictrs.stored) == 1, "without a quota nothing is purged"


async def test_a_picture_that_is_gone_is_done(bench: Bench) -> None:
    finding = await bench.rescan(b"reject this")
    assert (finding.result, finding.result.is_done) == (Result.GONE, True)
    assert bench.scanner.bodies == []


async def test_a_picture_of_a_named_source_that_is_not_here_may_be_in_another_pict_rs(bench: Bench) -> None:
    finding = await bench.rescan(b"reject this", source="lemmy-a")
    assert (finding.result, finding.is_of_picture) == (Result.LATER, True)
    assert "that of the source lemmy-a may" in finding.why
    bench.pictrs.store(b"reject this")
    assert (await bench.rescan(b"reject this", source="lemmy-a")).result is Result.REJECTED
    assert bench.scanner.sources == ["lemmy-a"], "it is judged by the terms of its source"


@pytest.mark.parametrize("of_source", [UNNAMED_SOURCE, "lemmy-b"])
async def test_the_picture_of_another_source_is_neither_scanned_nor_purged(bench: Bench, of_source: str) -> None:
    bench.pictrs.store(b"reject this")
    finding = await bench.rescan(b"reject this", Quota(9), source="lemmy-a", of_source=of_source)
    assert (finding.result, finding.is_of_picture) == (Result.LATER, True)
    assert finding.why == (
        f"it is a picture of the source lemmy-a, and pictrs.url is that of {of_source} (pictrs.source)"
    )
    assert (len(bench.pictrs.stored), bench.scanner.bodies) == (1, [])


@pytest.mark.parametrize("source", ["lemmy-a", RESCAN_SOURCE, ADMIN_SOURCE])
async def test_a_picture_in_the_pict_rs_of_its_source_is_scanned_by_its_terms(bench: Bench, source: str) -> None:
    gone = await bench.rescan(b"reject this", source=source, of_source="lemmy-a")
    assert gone.result is Result.GONE, "no other pict-rs can have it"
    bench.pictrs.store(b"reject this")
    finding = await bench.rescan(b"reject this", Quota(9), source=source, of_source="lemmy-a")
    assert (finding.result, bench.scanner.sources) == (Result.PURGED, ["lemmy-a"])


async def test_the_whole_of_a_picture_is_scanned_of_which_only_a_part_was_sent(bench: Bench) -> None:
    bench.pictrs.store(b"reject this, all of it")
    finding = await bench.rescan(b"reject this")
    assert finding.result is Result.REJECTED
    assert bench.scanner.bodies == [b"reject this, all of it"]


async def test_of_several_pictures_the_worst_one_counts(bench: Bench) -> None:
    aliases = [bench.pictrs.store(body) for body in (b"accept this", b"accept-or-not this", b"another one")]
    finding = await bench.rescan(b"accept")
    assert (finding.result, finding.aliases) == (Result.LATER, (aliases[1],))
    assert len(bench.scanner.bodies) == 2


async def test_a_rejected_picture_is_purged_where_a_quota_allows_it(bench: Bench) -> None:
    alias = bench.pictrs.store(b"reject this")
    other = bench.pictrs.store(b"accept this")
    quota = Quota(1)
    finding = await bench.rescan(b"reject this", quota)
    assert (finding.result, finding.result.is_done, finding.aliases) == (Result.PURGED, True, (alias,))
    assert (await bench.rescan(b"accept this", quota)).result is Result.ACCEPTED
    assert [each.aliases for each in bench.pictrs.stored] == [[other]]
    (purge,) = await purges_since(quota.audit, NOON)
    assert (purge.sha256, purge.aliases) == (hashlib.sha256(b"reject this").hexdigest(), (alias,))
    assert (purge.actor, purge.why, purge.purged, purge.problem) == ("service", "rescan: policy", (alias,), None)


async def test_beyond_the_quota_pictures_wait(bench: Bench) -> None:
    bench.pictrs.store(b"reject this")
    finding = await bench.rescan(b"reject this", Quota(0))
    assert (finding.result, finding.result.is_done) == (Result.REJECTED, False)
    assert "today's quota of purges is used up" in finding.why
    assert len(bench.pictrs.stored) == 1


async def test_a_picture_that_is_longer_than_the_limit_is_not_fetched(bench: Bench) -> None:
    body = b"reject" + bytes(MAX_BODY_BYTES)
    bench.pictrs.store(body)
    finding = await bench.rescan(body, Quota(1))
    assert (finding.result, bench.scanner.bodies) == (Result.UNSCANNABLE, [])
    assert "the limit is 10000" in finding.why


async def test_while_pict_rs_fails_pictures_wait(bench: Bench) -> None:
    alias = bench.pictrs.store(b"reject this")
    bench.pictrs.answers[f"/image/original/{alias}"] = lambda: web.Response(status=503)
    assert (await bench.rescan(b"reject this")).result is Result.LATER
    bench.pictrs.answers["/internal/hashes"] = lambda: web.Response(status=503)
    finding = await bench.rescan(b"reject this")
    assert (finding.result, finding.result.is_done) == (Result.LATER, False)
    assert "failed (503" in finding.why


async def test_a_purge_that_fails_is_tried_again_later(bench: Bench) -> None:
    bench.pictrs.store(b"reject this")
    bench.pictrs.answers["/internal/purge"] = lambda: web.Response(status=500)
    assert (await bench.rescan(b"reject this", Quota(1))).result is Result.LATER
    assert len(bench.pictrs.stored) == 1


async def test_purges_that_fail_all_afternoon_use_one_unit_of_the_quota(bench: Bench) -> None:
    bench.pictrs.store(b"reject this")
    bench.pictrs.store(b"reject that")
    bench.pictrs.answers["/internal/purge"] = lambda: web.Response(status=500)
    quota = Quota(2)
    for _ in range(5):
        assert (await bench.rescan(b"reject this", quota)).result is Result.LATER
    del bench.pictrs.answers["/internal/purge"]
    for body in (b"reject this", b"reject that"):
        assert (await bench.rescan(body, quota)).result is Result.PURGED


async def test_a_wrong_key_ends_it(bench: Bench) -> None:
    with pytest.raises(PictrsRefusedError, match="key"):
        await bench.rescan(b"reject this", key="another")
