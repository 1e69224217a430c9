"""The door of a service that answers, or does not, or is none."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serve_app.domain import UnauthorisedError, UnavailableError, Verdict
from serve_app.storage import open_door
from serve_app.wire import Answer
from tests.serve.conftest import free_port

REJECTED = Answer(verdict=Verdict.REJECT, reason="policy", message="It is red.", request_id="r-1", elapsed_ms=1)


async def test_a_picture_is_scanned_in_the_background() -> None:
    asked: list[tuple[str, str | None, bytes]] = []

    async def scan(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("X-Pictwarden-Lane"), await request.read()))
        return web.Response(status=406, text=REJECTED.model_dump_json(), content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/v1/scan/{secret}", scan)
    async with TestServer(app) as server, open_door(str(server.make_url("/api/v1/scan/a-secret"))) as door:
        assert await door.scan(b"a picture") == REJECTED
    assert asked == [("/api/v1/scan/a-secret", "background", b"a picture")]


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (401, REJECTED.model_dump_json(), UnauthorisedError),
        (200, "<html>hello</html>", UnavailableError),
        (200, "{}", UnavailableError),
        (302, "", UnavailableError),
        (503, "", UnavailableError),
    ],
)
async def test_another_answer_is_no_scan(status: int, text: str, error: type[Exception]) -> None:
    async def scan(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={"Location": "/elsewhere"} if status == 302 else None)

    app = web.Application()
    app.router.add_post("/scan", scan)
    async with TestServer(app) as server, open_door(str(server.make_url("/scan"))) as door:
        with pytest.raises(error, match="check the scan URL") as caught:
            await door.scan(b"a picture")
    assert "hello" not in str(caught.value)


async def test_nobody_there_is_said_without_the_secret() -> None:
    async with open_door(f"http://127.0.0.1:{free_port()}/api/v1/scan/a-secret") as door:
        with pytest.raises(UnavailableError, match="is it running") as caught:
            await door.scan(b"a picture")
    assert "a-secret" not in str(caught.value)
