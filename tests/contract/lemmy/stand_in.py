"""Stand-ins for Lemmy 0.19 and 1.0 over a real socket, with their limits, and faults that a test causes.

``answers/`` has the fields of the structs in Lemmy's sources: of 0.19.21, and of 1.0.0-test-fix-publish-3.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "a.token.of-the-tests"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
PUBLIC_URL = "https://lemmy.example"

Version = Literal["v3", "v4"]

_ANSWERS = Path(__file__).parent / "answers"
_PAGE = 50
_MOST_PAGES = 100


def recorded(name: str) -> Any:
    """An answer of Lemmy."""
    return json.loads((_ANSWERS / f"{name}.json").read_text("utf-8"))


@dataclass
class Lemmy:
    """What it has, and how it misbehaves."""

    version: Version
    url: str = ""
    token: str = TOKEN
    uploads: list[dict[str, Any]] = field(default_factory=list)
    """Newest first."""
    posts: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Callable[[], web.StreamResponse]] = field(default_factory=dict)
    """Path: what is answered there instead."""
    is_list_sorted: bool = True
    """Whether 1.0 can give a second page."""
    requests: list[web.BaseRequest] = field(default_factory=list)

    def upload(self, alias: str, at: datetime = NOON, thumbnail_of: int | None = None) -> None:
        """Somebody uploads a picture."""
        shape = recorded("v3_list_all_media" if self.version == "v3" else "v4_image_list")
        entry = copy.deepcopy((shape.get("images") or shape["items"])[0])
        entry["local_image"] |= {
            "pictrs_alias": alias,
            "published" if self.version == "v3" else "published_at": at.isoformat(),
        }
        if thumbnail_of is not None:
            entry["local_image"]["thumbnail_for_post_id"] = thumbnail_of
        self.uploads.insert(0, entry)

    def post(self, number: int, *, url: str | None = None, body: str | None = None) -> None:
        """Somebody writes a post."""
        view = copy.deepcopy(recorded(f"{self.version}_search")["posts"][0])
        view["post"] |= {"id": number, "ap_id": f"{PUBLIC_URL}/post/{number}", "url": url, "body": body}
        self.posts.append(view)

    def comment(self, number: int, content: str) -> None:
        """Somebody of another instance writes a comment."""
        view = copy.deepcopy(recorded(f"{self.version}_search")["comments"][0])
        view["comment"] |= {"id": number, "content": content}
        self.comments.append(view)

    def paths(self) -> list[str]:
        """Which were asked for."""
        return [each.path for each in self.requests]

    async def site(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(recorded(f"{self.version}_site"))

    async def media(self, request: web.Request) -> web.StreamResponse:
        page, limit = int(request.query["page"]), int(request.query["limit"])
        if not (1 <= page <= _MOST_PAGES and 1 <= limit <= _PAGE):
            return problem("unknown", message=f"Page limit is > {_MOST_PAGES}")
        return web.json_response({"images": self.uploads[limit * (page - 1) : limit * page]})

    async def images(self, request: web.Request) -> web.StreamResponse:
        limit, cursor = int(request.query["limit"]), request.query.get("page_cursor")
        if not 1 <= limit <= _PAGE:
            return problem("invalid_fetch_limit")
        if cursor is not None and not self.is_list_sorted:
            return problem("not_found", 404)
        start = 0 if cursor is None else int(cursor.removeprefix("c"))
        shown = sorted(self.uploads, key=lambda each: str(each["local_image"]["pictrs_alias"]))[start : start + limit]
        following = {"next_page": f"c{start + limit}"} if len(shown) == limit else {}
        return web.json_response({"items": shown, **following})

    async def search(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if self.version == "v3":
            is_link, text = query["type_"] == "Url", query["q"]
        else:
            is_link, text = query.get("post_url_only") == "true", query["search_term"]
        posts = [
            each for each in self.posts if _matches(each["post"], text, is_link=is_link, is_v3=self.version == "v3")
        ]
        comments = [each for each in self.comments if text.lower() in each["comment"]["content"].lower()]
        found = {"posts": posts, "comments": [] if is_link else comments}
        return web.json_response(recorded(f"{self.version}_search") | found)

    async def report(self, request: web.Request) -> web.StreamResponse:
        kind, body = request.match_info["kind"], await request.json()
        key = {f"{kind}_id": body[f"{kind}_id"]}
        if any(each.items() >= key.items() for each in self.reports):
            return problem("couldnt_create_report" if self.version == "v3" else "couldnt_create")
        self.reports.append(body)
        return web.json_response(recorded(f"{self.version}_{kind}_report"))


def _matches(post: dict[str, Any], text: str, *, is_link: bool, is_v3: bool) -> bool:
    if is_link:
        url = post["url"] or ""
        return url == text if is_v3 else text in url
    return any(text.lower() in (each or "").lower() for each in (post["name"], post["body"], post.get("alt_text")))


def problem(error: str, status: int = 400, **more: str) -> web.Response:
    """An error as Lemmy tells it."""
    return web.json_response({"error": error, **more}, status=status)


@contextlib.asynccontextmanager
async def lemmy_standing_in(version: Version) -> AsyncIterator[Lemmy]:
    """A stand-in on a free port of the loopback."""
    lemmy = Lemmy(version)

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        lemmy.requests.append(request)
        if answer := lemmy.answers.get(request.path):
            return answer()
        is_open = request.path.endswith("/site")
        if not is_open and request.headers.get("Authorization") != f"Bearer {lemmy.token}":
            return problem("incorrect_login", 401)
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[guard])
    app.router.add_get(f"/api/{version}/site", lemmy.site)
    app.router.add_get("/api/v3/admin/list_all_media" if version == "v3" else "/api/v4/image/list", _list_of(lemmy))
    app.router.add_get(f"/api/{version}/search", lemmy.search)
    app.router.add_post(f"/api/{version}/{{kind:post|comment}}/report", lemmy.report)
    async with TestServer(app) as server:
        lemmy.url = str(server.make_url("")).rstrip("/")
        yield lemmy


def _list_of(lemmy: Lemmy) -> Any:
    return lemmy.media if lemmy.version == "v3" else lemmy.images


def fill(lemmy: Lemmy, count: int, newest_at: datetime = NOON) -> None:
    """Other people's uploads, one a second, up to this moment."""
    for number in range(count):
        lemmy.upload(f"other-{number}.png", newest_at - timedelta(seconds=count - number))
