"""What only S3 does: its keys, its faults, and the second look before a deletion."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

import pytest
from aiohttp import web

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    StorageRefusedError,
    StorageUnavailableError,
)
from serve_app.storage.scan.source import StoredFile
from serve_app.storage.scan.stores.addresses import Bucket
from serve_app.storage.scan.stores.s3 import S3Source
from serve_app.storage.scan.stores.tries import ANSWER_S, TRIES
from tests.contract.storage.places import listed, named
from tests.contract.storage.s3_stand_in import BUCKET, Fault, StandIn, breaks, fails, is_busy, is_cut, running_stand_in
from tests.contract.storage.versity import SECRET

BODY, OTHER_BODY = b"a picture", b"another picture"
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
async def store(with_credentials: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    del with_credentials
    async with running_stand_in() as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        store.objects["in/a.png"] = BODY
        yield store


@pytest.fixture
def waits() -> list[float]:
    """How long it waited between tries, in seconds."""
    return []


@pytest.fixture
async def source(store: StandIn, waits: list[float]) -> AsyncIterator[S3Source]:
    async with opened(waits) as source:
        yield source


@contextlib.asynccontextmanager
async def opened(waits: list[float], answer_s: float = ANSWER_S) -> AsyncIterator[S3Source]:
    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    source = S3Source(Bucket(BUCKET, "in/"), PurePosixPath("kept"), answer_s=answer_s, sleep=sleep)
    yield source
    await source.close()


PASSING = {
    "429 of a proxy": is_busy,
    "SlowDown": fails(503, "SlowDown"),
    "an error of its own": fails(500, "InternalError"),
    "a body that did not come": fails(400, "RequestTimeout"),
    "a broken connection": breaks,
}
SENT_AGAIN = 2
"""aiohttp sends a request again by itself where its connection broke, once."""


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_what_passes_is_tried_again(fault: Fault, store: StandIn, source: S3Source, waits: list[float]) -> None:
    faults = [fault] * (SENT_AGAIN if fault is breaks else 1)
    store.faults = {kind: list(faults) for kind in ("LIST", "GET", "PUT", "DELETE")}
    file = await named(source, "a.png")
    assert await source.read(file, 100) == BODY
    assert await source.quarantine(file, SHA256) == ("a.png",)
    assert store.objects == {"in/kept/a.png": BODY}
    assert waits == [0.5, 0.5, 0.5, 1.0]


async def test_what_does_not_pass_is_said(store: StandIn, source: S3Source, waits: list[float]) -> None:
    store.faults["LIST"] = [fails(503, "SlowDown")] * TRIES
    with pytest.raises(StorageUnavailableError, match="s3://pictures/in answers 503 SlowDown"):
        await listed(source)
    assert waits == [0.5, 1.0, 2.0, 4.0]


async def test_a_store_that_does_not_answer_is_tried_again_and_then_said(store: StandIn, waits: list[float]) -> None:
    store.faults["GET"] = [store.is_silent] * TRIES
    async with opened(waits, answer_s=0.3) as source:
        with pytest.raises(StorageUnavailableError, match="s3://pictures/in does not answer"):
            await source.read(StoredFile("a.png", 9, ""), 100)
    assert waits == [0.5, 1.0, 2.0, 4.0]


async def test_a_body_that_is_cut_is_read_again(store: StandIn, source: S3Source) -> None:
    file = await named(source, "a.png")
    store.faults["GET"] = [is_cut]
    assert await source.read(file, 100_000) == BODY
    store.faults["GET"] = [is_cut] * TRIES
    with pytest.raises(StorageUnavailableError, match="or not to the end"):
        await source.read(file, 100_000)
    store.faults["GET"] = [is_cut] * TRIES
    with pytest.raises(StorageUnavailableError):
        await source.remove(file, SHA256)
    assert store.objects == {"in/a.png": BODY}


REFUSED = {
    (404, "NoSuchBucket"): "there is no such bucket: check its name and AWS_ENDPOINT_URL",
    (403, "AccessDenied"): "AccessDenied to ListObjectsV2: allow that action to these credentials",
    (403, "InvalidAccessKeyId"): "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    (403, "RequestTimeTooSkewed"): "the clocks differ",
    (400, "AuthorizationHeaderMalformed"): "check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION",
    (400, "what\x1b ever"): "400 without a reason",
}


@pytest.mark.parametrize(("answer", "words"), REFUSED.items(), ids=[code for _, code in REFUSED])
async def test_what_has_to_be_changed_first_is_said_at_once(
    answer: tuple[int, str], words: str, store: StandIn, source: S3Source, waits: list[float]
) -> None:
    store.faults["LIST"] = [fails(answer[0], answer[1].replace("\x1b", "\N{REPLACEMENT CHARACTER}"))]
    with pytest.raises(StorageRefusedError, match=words) as error:
        await listed(source)
    assert waits == []
    assert SECRET not in str(error.value)


async def test_without_credentials_it_says_which(source: S3Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageRefusedError, match="there are no credentials for it: set AWS_ACCESS_KEY_ID"):
        await listed(source)


async def test_a_file_that_may_not_be_read_is_unreadable_until_none_may(store: StandIn, source: S3Source) -> None:
    file = await named(source, "a.png")
    store.faults["GET"] = [fails(403, "AccessDenied")] * 15
    for _ in range(15):
        with pytest.raises(FileUnreadableError, match="allow s3:GetObject"):
            await source.read(file, 100)
    store.faults["GET"] = [fails(403, "AccessDenied")]
    with pytest.raises(StorageRefusedError, match="none of its files may be read: allow s3:GetObject"):
        await source.read(file, 100)
    assert await source.read(file, 100) == BODY
    store.faults["GET"] = [fails(403, "AccessDenied")] * 2
    for _ in range(2):
        with pytest.raises(FileUnreadableError):
            await source.read(file, 100)


async def test_an_archived_file_is_unreadable(store: StandIn, source: S3Source) -> None:
    file = await named(source, "a.png")
    store.faults["GET"] = [fails(403, "InvalidObjectState")]
    with pytest.raises(FileUnreadableError, match="it is archived: restore it first"):
        await source.read(file, 100)


@pytest.mark.parametrize(("moment", "has_conditions"), [("GET", True), ("HEAD", True), ("GET", False)])
async def test_a_file_that_changes_after_the_second_look_stays(
    moment: str, has_conditions: bool, store: StandIn, source: S3Source
) -> None:
    store.has_conditions = has_conditions
    file = await named(source, "a.png")
    store.after[moment] = lambda: store.objects.update({"in/a.png": OTHER_BODY})
    with pytest.raises(FileChangedError):
        await source.remove(file, SHA256)
    assert store.objects == {"in/a.png": OTHER_BODY}


async def test_a_store_without_conditions_deletes_too(store: StandIn, source: S3Source) -> None:
    store.has_conditions = False
    assert await source.remove(await named(source, "a.png"), SHA256) == ("a.png",)
    assert store.objects == {}


@pytest.mark.parametrize("how", ["remove", "quarantine"])
async def test_a_deletion_whose_answer_was_lost_was_ours(how: str, store: StandIn, source: S3Source) -> None:
    async def is_done_without_an_answer(request: web.BaseRequest) -> web.StreamResponse:
        store.objects.pop("in/a.png", None)
        return await breaks(request)

    file = await named(source, "a.png")
    store.faults["DELETE"] = [is_done_without_an_answer] * SENT_AGAIN
    assert await getattr(source, how)(file, SHA256) == ("a.png",)
    with pytest.raises(FileGoneError):
        await getattr(source, how)(file, SHA256)


@pytest.mark.parametrize("answer", [(404, "NoSuchKey"), (412, "PreconditionFailed")])
async def test_a_deletion_that_was_sent_twice_was_ours(
    answer: tuple[int, str], store: StandIn, source: S3Source
) -> None:
    async def was_done(request: web.BaseRequest) -> web.StreamResponse:
        del store.objects["in/a.png"]
        return await fails(*answer)(request)

    file = await named(source, "a.png")
    store.faults["DELETE"] = [was_done]
    assert await source.remove(file, SHA256) == ("a.png",)


async def test_a_quarantine_that_broke_off_goes_on(store: StandIn, source: S3Source) -> None:
    file = await named(source, "a.png")
    store.faults["DELETE"] = [fails(503, "SlowDown")] * TRIES
    with pytest.raises(StorageUnavailableError):
        await source.quarantine(file, SHA256)
    assert store.objects == {"in/a.png": BODY, "in/kept/a.png": BODY}
    await source.quarantine(file, SHA256)
    assert store.objects == {"in/kept/a.png": BODY}
    assert store.asked.count("PUT") == 1


HOSTILE = {
    "steps up": "../../etc/passwd",
    "a step up inside": "a/../b.png",
    "a step nowhere": "a/./b.png",
    "slashes": "a//b.png",
    "a slash first": "/a.png",
    "a slash last": "a.png/",
    "a version": "a.png?versionId=1",
    "control characters": "\x01\x1b[2J\x7f\r\n.png",
    "1,024 bytes": "b" * (1024 - len("in/")),
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_key_is_a_key(name: str, store: StandIn, source: S3Source) -> None:
    store.objects = {f"in/{name}": BODY, "in/b.png": OTHER_BODY, "b.png": OTHER_BODY, "in/folder/": b""}
    others = {"in/b.png": OTHER_BODY, "b.png": OTHER_BODY, "in/folder/": b""}
    assert sorted(file.name for file in await listed(source)) == sorted([name, "b.png"])
    file = await named(source, name)
    assert await source.read(file, 100) == BODY
    await source.remove(file, SHA256)
    assert store.objects == others
    store.objects[f"in/{name}"] = BODY
    await source.quarantine(file, SHA256)
    (kept,) = store.objects.keys() - others.keys()
    assert kept in (f"in/kept/{name}", f"in/kept/{SHA256}")
    assert ".." not in kept.split("/")
