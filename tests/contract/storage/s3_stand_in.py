"""A stand-in for a store of S3, over a real socket: for keys that versitygw does not take, and faults.

The same calls are made of versitygw in test_source.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

BUCKET = "pictures"
Fault = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class StandIn:
    """What it has, and how it misbehaves.

    Attributes:
        objects: by key.
        faults: what is answered next to a request of a kind (``LIST`` or the method), instead; the last one first.
        asked: kinds of the requests so far.
        after: is called once a request of a kind was answered.
        has_conditions: whether it deletes under a condition; else it answers as AWS's documentation has it.
    """

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    after: dict[str, Callable[[], object]] = field(default_factory=dict)
    has_conditions: bool = True
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        # Whatever stands between a client and the path may make another one of it: here it is as it was sent.
        key = unquote(request.raw_path.partition("?")[0]).removeprefix(f"/{BUCKET}").removeprefix("/")
        kind = request.method if key else "LIST"
        self.asked.append(kind)
        if faults := self.faults.get(kind):
            return await faults.pop()(request)
        answer = self._list(request) if not key else self._about(key, request)
        self.after.get(kind, lambda: None)()
        return answer

    def _list(self, request: web.BaseRequest) -> web.Response:
        prefix, start = request.query["prefix"], request.query.get("continuation-token", "")
        most = int(request.query["max-keys"])
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > start]
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>{escape(self._etag(key))}</ETag><LastModified>2026-01-31T12:00:00.000Z</LastModified></Contents>"
            for key in keys[:most]
        )
        more = f"<NextContinuationToken>{escape(keys[most - 1])}</NextContinuationToken>" if keys[most:] else ""
        return web.Response(
            body=f"<ListBucketResult><IsTruncated>{str(bool(keys[most:])).lower()}</IsTruncated>{more}"
            f"<EncodingType>url</EncodingType>{entries}</ListBucketResult>".encode()
        )

    def _about(self, key: str, request: web.BaseRequest) -> web.Response:
        if source := request.headers.get("x-amz-copy-source"):
            self.objects[key] = self.objects[unquote(source).removeprefix(f"{BUCKET}/")]
            return web.Response(body=f"<CopyObjectResult><ETag>{self._etag(key)}</ETag></CopyObjectResult>".encode())
        if request.method == "DELETE":
            return self._delete(key, request.headers.get("If-Match"))
        if key not in self.objects:
            return error_answer(404, "NoSuchKey")
        headers = {"ETag": self._etag(key), "Last-Modified": "Sat, 31 Jan 2026 12:00:00 GMT"}
        if request.method == "HEAD":
            return web.Response(headers=headers)
        return web.Response(body=self.objects[key], headers=headers)

    def _delete(self, key: str, condition: str | None) -> web.Response:
        if condition is not None and not self.has_conditions:
            return error_answer(501, "NotImplemented")
        if condition is not None and key in self.objects and condition != self._etag(key):
            return error_answer(412, "PreconditionFailed")
        self.objects.pop(key, None)
        return web.Response(status=204)

    def _etag(self, key: str) -> str:
        return f'"{hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()}"'

    async def is_silent(self, request: web.BaseRequest) -> web.StreamResponse:
        """A fault: nothing is answered."""
        del request
        await self.released.wait()
        return web.Response(status=500)


def error_answer(status: int, code: str) -> web.Response:
    return web.Response(status=status, body=f"<Error><Code>{code}</Code><Message>!</Message></Error>".encode())


def fails(status: int, code: str) -> Fault:
    """A fault: this is answered."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        # The answer to HEAD has no body.
        return web.Response(status=status) if request.method == "HEAD" else error_answer(status, code)

    return answer


async def is_busy(request: web.BaseRequest) -> web.StreamResponse:
    """A fault: what a proxy answers in front of a store."""
    del request
    return web.Response(status=429, text="too many requests")


async def breaks(request: web.BaseRequest) -> web.StreamResponse:
    """A fault: the connection ends without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def is_cut(request: web.BaseRequest) -> web.StreamResponse:
    """A fault: the body ends in its middle."""
    answer = web.StreamResponse(headers={"Content-Length": "1000", "ETag": '"a"'})
    await answer.prepare(request)
    await answer.write(b"the first half")
    assert request.transport is not None
    request.transport.close()
    return answer


@contextlib.asynccontextmanager
async def running_stand_in() -> AsyncIterator[StandIn]:
    store = StandIn()
    runner = web.ServerRunner(web.Server(store.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    store.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield store
    finally:
        store.released.set()
        await runner.cleanup()
