"""A stand-in for pict-rs 0.5.25: its internal API with its traps, over a real socket, and faults that a test causes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

API_KEY = "a-key-of-the-tests-and-of-nothing-else"
PNG = 7

# A purged picture is served for so many more requests.
_LINGERS = 2


@dataclass
class Stored:
    """Stored bytes: pict-rs's name for them, when they were stored, and what leads to them."""

    name: bytes
    body: bytes
    stored_at: datetime
    aliases: list[str]
    leaving: set[str] = field(default_factory=set)
    """The aliases that a purge is about to remove."""
    lingers: int = 0

    @property
    def slug(self) -> str:
        return base64.urlsafe_b64encode(self.name).decode()

    @property
    def etag(self) -> str:
        return f'"{base64.b64encode(self.name).decode()}"'


@dataclass
class StandIn:
    """What it has stored, and how it misbehaves."""

    url: str = ""
    api_key: str = API_KEY
    stored: list[Stored] = field(default_factory=list)
    not_found: Stored | None = None
    """The picture that it serves where there is none."""
    public_endpoint: str | None = None
    """Where it sends readers on to."""
    answers: dict[str, Callable[[], web.StreamResponse]] = field(default_factory=dict)
    """Path: what is answered there instead."""
    requests: list[web.BaseRequest] = field(default_factory=list)
    after_purge: Callable[[], object] | None = None
    """What somebody does when the next purge has been asked for."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def store(self, body: bytes, type_byte: int = PNG) -> str:
        """Store a picture, or another alias of one that is known, as an upload does."""
        alias = f"{uuid.uuid4()}.png"
        name = hashlib.sha256(body).digest() + len(body).to_bytes(6, "big") + bytes([type_byte])
        for each in self.stored:
            if each.name == name:
                each.aliases.append(alias)
                return alias
        self.stored.append(Stored(name, body, self.clock(), [alias]))
        return alias

    def forget(self, alias: str) -> None:
        """Purge a picture at once, as somebody else's call does."""
        self.stored = [each for each in self.stored if alias not in each.aliases]

    def page(self, slug: str | None, before: datetime | None, limit: int) -> dict[str, Any]:
        """A page of hashes, newest first; the newest where the slug is unknown."""
        newest_first = sorted(self.stored, key=lambda each: (each.stored_at, each.name), reverse=True)
        start = 0
        if slug is not None:
            start = next((at for at, each in enumerate(newest_first) if each.slug == slug), 0)
        if before is not None:
            start = next((at for at, each in enumerate(newest_first) if each.stored_at < before), len(newest_first))
        shown = newest_first[start : start + limit]
        page: dict[str, Any] = {
            "limit": limit,
            "hashes": [{"hex": each.name.hex(), "aliases": each.aliases, "details": None} for each in shown],
        }
        if shown:
            page["current"] = shown[0].slug
        if start + limit < len(newest_first):
            page["next"] = newest_first[start + limit].slug
        return page

    async def hashes(self, request: web.Request) -> web.StreamResponse:
        timestamp = request.query.get("timestamp")
        before = None if timestamp is None else datetime.fromisoformat(timestamp)
        page = self.page(request.query.get("slug"), before, int(request.query.get("limit", "20")))
        return web.json_response({"msg": "ok", "page": page})

    async def aliases(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request.query.get("alias"))
        if found is None:
            return _missing(request)
        return web.json_response({"msg": "ok", "aliases": found.aliases})

    async def purge(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request.query.get("alias"))
        if found is None:
            return _missing(request)
        found.leaving, found.lingers = set(found.aliases), _LINGERS
        answer = web.json_response({"msg": "ok", "aliases": found.aliases})
        if self.after_purge is not None:
            self.after_purge()
            self.after_purge = None
        return answer

    async def original(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request.match_info["alias"])
        if found is None and request.method == "HEAD":
            return web.Response(status=404)
        if found is not None and self.public_endpoint is not None:
            return web.Response(status=303, headers={"Location": f"{self.public_endpoint}/{found.name.hex()}"})
        served = found or self.not_found
        if served is None:
            return web.Response(status=404)
        headers = {"ETag": served.etag}
        if "Range" not in request.headers:
            return web.Response(status=200 if found else 404, body=served.body, headers=headers)
        part = request.http_range
        if (part.start or 0) >= len(served.body):
            return web.Response(status=416)
        return web.Response(status=206, body=served.body[part], headers=headers)

    async def in_object_storage(self, request: web.Request) -> web.StreamResponse:
        """The storage serves parts as well; it knows nothing of pict-rs's names."""
        body = next(each.body for each in self.stored if each.name.hex() == request.match_info["key"])
        is_part = "Range" in request.headers
        return web.Response(status=206 if is_part else 200, body=body[request.http_range], headers={"ETag": '"md5"'})

    def go_on(self) -> None:
        """Do a part of what was answered as done."""
        for each in self.stored:
            each.lingers -= bool(each.leaving)
            if each.leaving and each.lingers < 0:
                each.aliases = [alias for alias in each.aliases if alias not in each.leaving]
                each.leaving = set()
        self.stored = [each for each in self.stored if each.aliases or each.lingers >= 0]

    def _find(self, alias: str | None) -> Stored | None:
        return next((each for each in self.stored if alias in each.aliases), None)


def _missing(request: web.Request) -> web.StreamResponse:
    kind = "proxy" if "proxy" in request.query else "alias"
    return web.json_response({"msg": "Alias not found", "code": f"{kind}-not-found"}, status=404)


@contextlib.asynccontextmanager
async def standing_in() -> AsyncIterator[StandIn]:
    """A stand-in on a free port of the loopback."""
    stand_in = StandIn()

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        stand_in.requests.append(request)
        stand_in.go_on()
        if answer := stand_in.answers.get(request.path):
            return answer()
        if request.path.startswith("/internal/") and request.headers.get("X-Api-Token") != stand_in.api_key:
            return web.json_response({"msg": "Invalid API Key", "code": "invalid-api-token"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[guard])
    app.router.add_get("/internal/hashes", stand_in.hashes)
    app.router.add_get("/internal/aliases", stand_in.aliases)
    app.router.add_post("/internal/purge", stand_in.purge)
    app.router.add_get("/image/original/{alias}", stand_in.original)
    app.router.add_get("/bucket/{key}", stand_in.in_object_storage)
    async with TestServer(app) as server:
        stand_in.url = str(server.make_url("")).rstrip("/")
        yield stand_in


def ticking(start: datetime, step: timedelta = timedelta(seconds=1)) -> Callable[[], datetime]:
    """A clock that goes on by a step each time it is read."""
    steps = itertools.count()
    return lambda: start + next(steps) * step
