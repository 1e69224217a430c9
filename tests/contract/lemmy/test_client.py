"""One client over both versions of Lemmy's API: who uploaded a picture, who shows it, and reports."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aiohttp import web

from serve_app.lemmy import Brought, LemmyClient, Shown
from serve_app.lemmy.client import MOST_SEARCHED
from tests.contract.lemmy.stand_in import NOON, PUBLIC_URL, Lemmy, fill, recorded

ALIAS = "0d5a2f0e-7c1b-4f0f-9f0e-2b6d3a1c9e55.png"
LINK = f"{PUBLIC_URL}/pictrs/image/{ALIAS}"


async def test_the_uploader_is_named_with_their_instance(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.upload("older.png", NOON - timedelta(hours=1))
    lemmy.upload(ALIAS)
    fill(lemmy, 120, NOON + timedelta(minutes=10))
    brought = await client.who_brought([ALIAS])
    (upload,) = brought.uploads
    assert (upload.alias, upload.person, upload.uploaded_at) == (ALIAS, "alice@lemmy.example", NOON)
    assert (brought.unlisted, brought.is_whole, brought.unsearched) == ((), True, ())
    assert "alice" not in repr(brought)


async def test_an_alias_that_lemmy_does_not_list_is_said_so(lemmy: Lemmy, client: LemmyClient) -> None:
    fill(lemmy, 60)
    lemmy.upload(ALIAS)
    brought = await client.who_brought([ALIAS, "federated.png"])
    assert [each.alias for each in brought.uploads] == [ALIAS]
    assert (brought.unlisted, brought.is_whole) == (("federated.png",), True)


async def test_of_no_alias_lemmy_is_asked_nothing(lemmy: Lemmy, client: LemmyClient) -> None:
    assert await client.who_brought([]) == Brought()
    assert lemmy.requests == []


async def test_posts_and_comments_are_found_by_link_and_by_text(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.post(7, url=LINK)
    lemmy.post(8, body=f"before ![]({LINK}) after")
    lemmy.post(9, url="https://elsewhere.example/cat.png", body="nothing of it")
    lemmy.comment(9, f"![]({LINK})")
    lemmy.comment(10, "another")
    shown = await client.shown([ALIAS])
    assert {each.name for each in shown} == {"post 7", "post 8", "comment 9"}
    assert {each.author for each in shown} == {"alice@lemmy.example", "bob@elsewhere.example"}
    assert {each.url for each in shown} >= {f"{PUBLIC_URL}/post/7", "https://elsewhere.example/comment/9"}


async def test_what_the_search_only_seems_to_have_found_is_left_out(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.post(7, body=ALIAS.upper())
    lemmy.comment(9, ALIAS.upper())
    assert await client.shown([ALIAS]) == ()


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("al\x1b[2Jice", "https://lemmy.example/u/alice", "al\ufffd[2Jice@lemmy.example"),
        ("ecila\u202e", "https://lemmy.example/u/alice", "ecila\ufffd@lemmy.example"),
        ("alice", "https://[broken/u/alice", "alice@unknown"),
        ("alice", "nowhere", "alice@unknown"),
        ("a" * 1000, "https://lemmy.example/u/alice", "a" * 500),
    ],
)
async def test_names_that_another_instance_has_chosen_are_plain(
    lemmy: Lemmy, client: LemmyClient, name: str, address: str, expected: str
) -> None:
    lemmy.upload(ALIAS)
    key = "actor_id" if lemmy.version == "v3" else "ap_id"
    lemmy.uploads[0]["person"] |= {"name": name, key: address}
    lemmy.comment(9, LINK)
    lemmy.comments[0]["creator"] |= {"name": name, key: address}
    lemmy.comments[0]["comment"]["ap_id"] = "https://elsewhere.example/\x1b\x00\n"
    brought = await client.who_brought([ALIAS])
    assert [each.person for each in brought.uploads] == [expected]
    assert [(each.author, each.url) for each in brought.shown] == [
        (expected, "https://elsewhere.example/" + 3 * "\ufffd")
    ]


async def test_a_picture_of_many_aliases_does_not_use_up_the_searches(lemmy: Lemmy, client: LemmyClient) -> None:
    aliases = [f"copy-{number}.png" for number in range(MOST_SEARCHED + 2)]
    for alias in aliases:
        lemmy.upload(alias)
    brought = await client.who_brought(aliases)
    assert len(brought.uploads) == len(aliases)
    assert brought.unsearched == tuple(aliases[MOST_SEARCHED:])
    assert sum(path.endswith("/search") for path in lemmy.paths()) == 2 * MOST_SEARCHED


async def test_lemmy_takes_one_report_of_each(lemmy: Lemmy, client: LemmyClient) -> None:
    post, comment = (Shown(kind, 7, "https://lemmy.example/x/7", "alice") for kind in ("post", "comment"))
    for shown in (post, comment):
        assert await client.report(shown, "it is denied")
        assert not await client.report(shown, "it is denied")
    assert [each["reason"] for each in lemmy.reports] == ["it is denied"] * 2
    assert [set(each) & {"post_id", "comment_id"} for each in lemmy.reports] == [{"post_id"}, {"comment_id"}]
    is_for_admins = [each.get("violates_instance_rules", False) for each in lemmy.reports]
    assert is_for_admins == [lemmy.version == "v4"] * 2


async def test_the_version_is_asked_for_once(lemmy: Lemmy, client: LemmyClient) -> None:
    await client.shown([ALIAS])
    await client.shown([ALIAS])
    assert [path for path in lemmy.paths() if path.endswith("/site")] == [
        "/api/v4/site",
        *(["/api/v3/site"] if lemmy.version == "v3" else []),
    ]


# 0.19


@pytest.mark.parametrize("lemmy", ["v3"], indirect=True)
async def test_the_list_is_read_to_its_end_for_an_alias_that_it_does_not_have(
    lemmy: Lemmy, client: LemmyClient
) -> None:
    fill(lemmy, 510)
    brought = await client.who_brought(["federated.png"])
    assert (brought.unlisted, brought.is_whole, brought.back_to) == (("federated.png",), True, None)
    assert lemmy.paths().count("/api/v3/admin/list_all_media") == 11


@pytest.mark.parametrize("lemmy", ["v3"], indirect=True)
async def test_what_lemmy_lists_no_more_may_be_older(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.upload(ALIAS)
    fill(lemmy, 5000, NOON + timedelta(hours=2))
    brought = await client.who_brought([ALIAS])
    assert (brought.uploads, brought.unlisted, brought.is_whole) == ((), (ALIAS,), False)
    assert brought.back_to == NOON + timedelta(hours=2) - timedelta(seconds=5000)
    assert lemmy.paths().count("/api/v3/admin/list_all_media") == 100


# 1.0


@pytest.mark.parametrize("lemmy", ["v4"], indirect=True)
async def test_a_thumbnail_is_no_upload_of_its_posts_author(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.upload(ALIAS, thumbnail_of=7)
    (upload,) = (await client.who_brought([ALIAS])).uploads
    assert upload.thumbnail_of == 7


@pytest.mark.parametrize("lemmy", ["v4"], indirect=True)
async def test_a_list_without_a_second_page_is_not_whole(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.is_list_sorted = False
    lemmy.upload("zzz.png")
    fill(lemmy, 60)
    brought = await client.who_brought(["zzz.png", "other-1.png"])
    assert [each.alias for each in brought.uploads] == ["other-1.png"]
    assert (brought.unlisted, brought.is_whole) == (("zzz.png",), False)


# Recorded


async def test_the_recorded_answers_are_read_whole(lemmy: Lemmy, client: LemmyClient) -> None:
    name, key = ("v3_list_all_media", "images") if lemmy.version == "v3" else ("v4_image_list", "items")
    lemmy.uploads = recorded(name)[key]
    found = recorded(f"{lemmy.version}_search")
    lemmy.answers[f"/api/{lemmy.version}/search"] = lambda: web.json_response(found)
    brought = await client.who_brought(["ALIAS"])
    assert [(each.alias, each.person) for each in brought.uploads] == [("ALIAS", "alice@lemmy.example")]
    assert {each.name for each in brought.shown} == {"post 7", "comment 9"}
