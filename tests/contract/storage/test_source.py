"""The port of a store of files, over all that implement it. pict-rs has hashes instead of names, and tests of its own.

S3 is versitygw, and tests/contract/storage/versity.py says why; SFTP is OpenSSH's server. Tests with one that is not
installed are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    StorageRefusedError,
    TooLargeError,
)
from serve_app.storage.scan.source import MOST_LISTED, StoredFile, Wanted
from tests.contract.storage.places import QUARANTINE, Place, listed, named

BODY, OTHER_BODY = b"a picture", b"another picture"
SHA256 = hashlib.sha256(BODY).hexdigest()
NOT_TOUCHED = (FileChangedError, FileGoneError, FileUnreadableError)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def names(place: Place, wanted: Wanted | None = None) -> list[str]:
    async with place.opened() as source:
        found = [file.name for file in await listed(source, wanted)]
        assert await source.count(wanted or Wanted()) == len(found)
        return found


async def test_lists_each_file_with_its_size_and_time(place: Place) -> None:
    place.put("a.png", BODY, NOON)
    place.put("in/a folder/b.png", OTHER_BODY, NOON + timedelta(seconds=1))
    async with place.opened() as source:
        found = sorted(await listed(source), key=lambda file: file.name)
    assert [(file.name, file.size_bytes, file.modified_at) for file in found] == [
        ("a.png", len(BODY), NOON),
        ("in/a folder/b.png", len(OTHER_BODY), NOON + timedelta(seconds=1)),
    ]


async def test_leaves_out_what_is_hidden_or_quarantined(place: Place) -> None:
    for name in ("seen.png", ".hidden", ".folder/c.png", "in/.hidden.png", f"{QUARANTINE}/d.png", "kept/seen.png"):
        place.put(name, BODY)
    assert sorted(await names(place)) == ["kept/seen.png", "seen.png"]


async def test_is_in_the_audit_under_its_address(place: Place) -> None:
    async with place.opened() as source:
        assert source.url == source.audit_name == place.url


async def test_an_empty_store_has_no_files(place: Place) -> None:
    place.folder.mkdir(exist_ok=True)
    assert await names(place) == []


async def test_other_bytes_are_another_version(place: Place) -> None:
    place.put("a.png", BODY, NOON)
    async with place.opened() as source:
        before = await named(source, "a.png")
        assert await named(source, "a.png") == before
        place.put("a.png", OTHER_BODY)
        assert (await named(source, "a.png")).version != before.version


async def test_lists_what_is_wanted(place: Place) -> None:
    for number in range(6):
        place.put(f"{'ab'[number % 2]}/{number}.png", BODY, NOON + timedelta(minutes=number * 7 % 6))
    newest = ["a/4.png", "b/5.png", "a/0.png", "b/1.png", "a/2.png", "b/3.png"]
    newest.sort(key=lambda name: -(int(name[2]) * 7 % 6))
    assert await names(place, Wanted(is_newest_first=True)) == newest
    newest_of_a = [name for name in newest if name.startswith("a")]
    assert await names(place, Wanted(is_newest_first=True, prefix="a")) == newest_of_a
    assert sorted(await names(place, Wanted(prefix="a/"))) == ["a/0.png", "a/2.png", "a/4.png"]
    assert await names(place, Wanted(prefix="b/3")) == ["b/3.png"]
    assert await names(place, Wanted(prefix="c")) == []
    assert sorted(await names(place, Wanted(since=NOON + timedelta(minutes=4)))) == ["a/4.png", "b/5.png"]


async def test_a_listing_comes_in_parts(place: Place) -> None:
    wanted = {f"{number:04}.png" for number in range(MOST_LISTED + 1)}
    place.put("0000.png", BODY)
    for name in wanted:
        # An object of versitygw is a file: to upload so many takes seconds.
        place.path(name).write_bytes(BODY)
    async with place.opened() as source:
        parts = [part async for part in source.files(Wanted())]
    assert {len(part) for part in parts} == {1, MOST_LISTED}
    assert {file.name for part in parts for file in part} == wanted


async def test_reads_up_to_the_limit(place: Place) -> None:
    place.put("a.png", BODY)
    place.put("empty.png", b"")
    place.put("large.png", bytes(range(256)) * 4_000)
    async with place.opened() as source:
        file = await named(source, "a.png")
        assert await source.read(file, len(BODY)) == BODY
        with pytest.raises(TooLargeError, match=r"9 bytes; the limit is 8"):
            await source.read(file, len(BODY) - 1)
        assert await source.read(await named(source, "empty.png"), 10) == b""
        assert await source.read(await named(source, "large.png"), 1_024_000) == bytes(range(256)) * 4_000


async def test_reads_many_at_once(place: Place) -> None:
    for number in range(20):
        place.put(f"{number}.png", bytes([number]) * 100_000)
    async with place.opened() as source:
        files = await listed(source)
        bodies = await asyncio.gather(*(source.read(file, 100_000) for file in files))
    assert {file.name: body[0] for file, body in zip(files, bodies, strict=True)} == {
        f"{number}.png": number for number in range(20)
    }


async def test_a_file_that_vanished_is_gone(place: Place) -> None:
    place.put("a.png", BODY)
    async with place.opened() as source:
        file = await named(source, "a.png")
        place.path("a.png").unlink()
        for call in (source.read(file, 100), source.remove(file, SHA256), source.quarantine(file, SHA256)):
            with pytest.raises(FileGoneError, match="it is not there any more"):
                await call


async def test_removes_what_was_scanned(place: Place) -> None:
    place.put("in/a.png", BODY)
    place.put("in/b.png", BODY)
    async with place.opened() as source:
        assert await source.remove(await named(source, "in/a.png"), SHA256) == ("in/a.png",)
        assert [file.name for file in await listed(source)] == ["in/b.png"]
    assert (place.body("in/a.png"), place.body("in/b.png")) == (None, BODY)


@pytest.mark.parametrize("other", [OTHER_BODY, BODY[::-1], b""], ids=["other", "of the same length", "empty"])
async def test_touches_nothing_that_has_changed(place: Place, other: bytes) -> None:
    place.put("a.png", BODY, NOON)
    async with place.opened() as source:
        file = await named(source, "a.png")
        place.put("a.png", other, NOON)
        for call in (source.remove(file, SHA256), source.quarantine(file, SHA256)):
            with pytest.raises(FileChangedError, match="has changed since it was scanned"):
                await call
    assert place.body("a.png") == other
    assert place.body(f"{QUARANTINE}/a.png") is None


async def test_quarantines_below_the_store_and_replaces_nothing(place: Place) -> None:
    async with place.opened() as source:
        for body in (BODY, OTHER_BODY, OTHER_BODY):
            place.put("in/a.png", body)
            sha256 = hashlib.sha256(body).hexdigest()
            assert await source.quarantine(await named(source, "in/a.png"), sha256) == ("in/a.png",)
            assert place.body("in/a.png") is None
        assert await listed(source) == []
    assert place.body(f"{QUARANTINE}/in/a.png") == BODY
    assert {path.read_bytes() for path in place.path(f"{QUARANTINE}/in").iterdir()} == {BODY, OTHER_BODY}


async def test_a_quarantine_has_to_be_named(place: Place) -> None:
    place.put("a.png", BODY)
    async with place.opened(quarantine=None) as source:
        with pytest.raises(StorageRefusedError, match="quarantine"):
            await source.quarantine(await named(source, "a.png"), SHA256)
    assert place.body("a.png") == BODY


HOSTILE = {
    "a space": "a picture .png",
    "a line": "a\nb\r.png",
    "an escape": "\x1b[2J\x07.png",
    "percent": "%2e%2e%2fa%00.png",
    "a query": "a.png?b=1&c#d",
    "plus": "a+b=c;d,e@f:g!h*i'j(k)\"<l>|.png",
    "a backslash": "a\\..\\..\\b.png",
    "dots": "a/b...c/d..png",
    "a tilde": "~/a.png",
    "words": "größer/画像.png",
    "decomposed": "gro\u0308\u00dfer.png",
    "right to left": "\u202egnp.a",
    "a long part": "a" * 200 + ".png",
    "a long name": "/".join(["b" * 120] * 7) + "/c.png",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_name_is_a_name(place: Place, name: str) -> None:
    if place.s3 is not None and "\x1b" in name:
        pytest.skip("versitygw lists it under another name: of characters that XML lacks, its answers have one")
    place.put(name, BODY)
    place.put("other.png", OTHER_BODY)
    async with place.opened() as source:
        file = await named(source, name)
        assert await source.read(file, 100) == BODY
        assert await source.quarantine(file, SHA256) == (name,)
        assert [file.name for file in await listed(source)] == ["other.png"]
        assert place.body(f"{QUARANTINE}/{name}") == BODY
        place.put(name, BODY)
        assert await source.remove(await named(source, name), SHA256) == (name,)
        assert [file.name for file in await listed(source)] == ["other.png"]


@pytest.fixture
def file_system(place: Place) -> Place:
    if not place.has_links:
        pytest.skip("a bucket has neither links nor pipes, and its names are text")
    return place


async def test_a_name_that_is_no_text_is_a_name(file_system: Place) -> None:
    name = os.fsdecode(b"\xff\xfe/\xe9.png")
    file_system.put(name, BODY)
    async with file_system.opened() as source:
        file = await named(source, name)
        assert await source.read(file, 100) == BODY
        assert await source.quarantine(file, SHA256) == (name,)
    assert file_system.body(f"{QUARANTINE}/{name}") == BODY


async def test_follows_no_link_and_opens_no_pipe(file_system: Place) -> None:
    outside = file_system.folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(BODY)
    file_system.put("in/a.png", BODY)
    file_system.path("in/loop").symlink_to(file_system.folder)
    file_system.path("out").symlink_to(outside)
    file_system.path("link.png").symlink_to(outside / "secret.png")
    file_system.path("broken.png").symlink_to("nowhere")
    file_system.path("itself").symlink_to("itself")
    os.mkfifo(file_system.path("pipe.png"))
    assert await names(file_system) == ["in/a.png"]


async def test_what_takes_the_place_of_a_file_is_not_taken_for_it(file_system: Place) -> None:
    outside = file_system.folder.parent / "elsewhere"
    outside.mkdir()
    (outside / "a.png").write_bytes(BODY)
    (file_system.folder / "in").mkdir()
    path = file_system.path("in/a.png")
    async with file_system.opened() as source:
        for put in (
            lambda: path.symlink_to(outside / "a.png"),
            lambda: os.mkfifo(path),
            path.mkdir,
        ):
            file_system.put("in/a.png", BODY)
            file = await named(source, "in/a.png")
            path.unlink()
            put()
            for call in (source.read(file, 100), source.remove(file, SHA256), source.quarantine(file, SHA256)):
                with pytest.raises(NOT_TOUCHED):
                    await call
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert (outside / "a.png").read_bytes() == BODY


async def test_removes_nothing_behind_a_link_that_took_the_place_of_a_folder(file_system: Place) -> None:
    file_system.put("in/a.png", BODY)
    outside = file_system.folder.parent / "moved"
    async with file_system.opened() as source:
        file = await named(source, "in/a.png")
        file_system.path("in").rename(outside)
        file_system.path("in").symlink_to(outside)
        for call in (source.remove(file, SHA256), source.quarantine(file, SHA256)):
            with pytest.raises(NOT_TOUCHED):
                await call
    assert (outside / "a.png").read_bytes() == BODY


PARTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=8
).filter(lambda part: part not in (".", ".."))
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@pytest.mark.slow
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sets(NAMES, max_size=8))
def test_every_file_is_listed_once(new_place: Callable[[], Place], tree: set[str]) -> None:
    place, put = new_place(), set[str]()
    place.folder.mkdir(exist_ok=True)
    for name in tree:
        # A file where a folder is, or the other way around, is no tree.
        with contextlib.suppress(OSError):
            if not any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in put):
                place.put(name, BODY)
                put.add(name)
    seen = {name for name in put if not any(part.startswith(".") for part in name.split("/"))}

    async def look() -> tuple[list[StoredFile], list[StoredFile]]:
        async with place.opened() as source:
            return await listed(source), await listed(source, Wanted(is_newest_first=True))

    for found in asyncio.run(look()):
        assert sorted(file.name for file in found) == sorted(seen)
