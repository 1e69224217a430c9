"""Lemmy as it may answer: not there, slow, limited, without rights, too old, or something else altogether."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serve_app.domain import LemmyRefusedError, LemmyUnavailableError, SettingsError
from serve_app.lemmy import TOKEN_ENV, LemmyClient, Shown, open_lemmy
from serve_app.lemmy import transport as transport_module
from serve_app.settings import LemmySettings
from tests.contract.lemmy.stand_in import TOKEN, Lemmy, lemmy_standing_in, problem, recorded
from tests.serve.conftest import free_port

LISTS = {"v3": "/api/v3/admin/list_all_media", "v4": "/api/v4/image/list"}


@contextlib.asynccontextmanager
async def _server_of(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The address of a server that answers everything in this way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def text(status: int, body: str) -> Callable[[], web.StreamResponse]:
    return lambda: web.Response(status=status, text=body)


async def test_a_lemmy_that_is_not_there_is_said_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with open_lemmy(LemmySettings(url=url), {TOKEN_ENV: TOKEN}) as client:
        with pytest.raises(LemmyUnavailableError, match=rf"^no answer from Lemmy at {url} \(.+\): is it running"):
            await client.shown(["a.png"])


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        (None, TOKEN, r"lemmy\.url is not set"),
        *(("http://127.0.0.1", token, f"set {TOKEN_ENV} in") for token in ("", " ", "ä", "a\nb")),
    ],
)
async def test_what_is_not_set_is_said(url: str | None, token: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        async with open_lemmy(LemmySettings(url=url), {TOKEN_ENV: token}):
            pass


async def test_the_token_may_be_in_a_file(lemmy: Lemmy, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(f"{TOKEN}\n", "ascii")
    async with open_lemmy(LemmySettings(url=lemmy.url), {f"{TOKEN_ENV}_FILE": str(file)}) as client:
        assert await client.shown(["a.png"]) == ()


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (lambda: problem("incorrect_login", 401), LemmyRefusedError, f"refuses the token: .* set {TOKEN_ENV}"),
        (lambda: problem("not_logged_in"), LemmyRefusedError, "refuses the token"),
        (lambda: problem("not_an_admin"), LemmyRefusedError, f"make the account of {TOKEN_ENV} an admin"),
        (lambda: problem("rate_limit_error"), LemmyUnavailableError, "asked too often .* try again in ten minutes"),
        (text(429, "<html>"), LemmyUnavailableError, "asked too often"),
        (lambda: problem("slurs"), LemmyRefusedError, r"refused the call \(400 slurs\)"),
        (text(502, "<html>alice</html>"), LemmyUnavailableError, r"failed \(502 without a code\): see its log"),
        (text(301, ""), LemmyRefusedError, r"refused the call \(301 without a code\): check lemmy\.url"),
        (text(404, ""), LemmyRefusedError, r"does not know the call: check lemmy\.url"),
        (text(200, "<html>alice</html>"), LemmyRefusedError, "in a shape that Lemmy 0.19 and 1.0 do not have"),
        (text(200, "[" * 100_000), LemmyRefusedError, "in a shape"),
        (text(200, '{"images":[{"alice":1}],"items":["alice"]}'), LemmyRefusedError, "in a shape"),
        (text(400, json.dumps({"error": "alice did\nsomething"})), LemmyRefusedError, r"\(400 without a code\)"),
        (text(200, "[" * 200_001), LemmyRefusedError, "too long for Lemmy"),
    ],
)
async def test_an_answer_of_another_kind_is_said_with_the_way_out_and_names_nobody(
    lemmy: Lemmy,
    client: LemmyClient,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[], web.StreamResponse],
    error: type[Exception],
    said: str,
) -> None:
    monkeypatch.setattr(transport_module, "_MAX_ANSWER_BYTES", 200_000)
    lemmy.answers[LISTS[lemmy.version]] = answer
    with pytest.raises(error, match=said) as caught:
        await client.who_brought(["a.png"])
    told = str(caught.value)
    assert "alice" not in told
    assert TOKEN not in told
    assert caught.value.__cause__ is None or "alice" not in str(caught.value.__cause__)


async def test_a_slow_lemmy_is_given_up() -> None:
    release = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with _server_of(wait) as url, open_lemmy(LemmySettings(url=url), {TOKEN_ENV: TOKEN}, 0.05) as client:
        with pytest.raises(LemmyUnavailableError, match="it took too long"):
            await client.shown(["a.png"])
        release.set()


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"site_view"')
        assert request.transport is not None
        request.transport.close()
        return response

    async with _server_of(breaks_off) as url, open_lemmy(LemmySettings(url=url), {TOKEN_ENV: TOKEN}) as client:
        with pytest.raises(LemmyUnavailableError, match="the connection broke"):
            await client.shown(["a.png"])


@pytest.mark.parametrize(
    ("version", "error"),
    [("0.19.3", LemmyRefusedError), ("0.18.5", LemmyRefusedError), ("0.19.4-beta.1", None), ("unknown version", None)],
)
async def test_an_older_lemmy_is_refused(version: str, error: type[Exception] | None) -> None:
    async with lemmy_standing_in("v3") as lemmy:
        lemmy.answers["/api/v3/site"] = lambda: web.json_response(recorded("v3_site") | {"version": version})
        async with open_lemmy(LemmySettings(url=lemmy.url), {TOKEN_ENV: TOKEN}) as client:
            if error is None:
                assert await client.shown(["a.png"]) == ()
            else:
                with pytest.raises(error, match=r"0\.19\.4 and later list uploads"):
                    await client.shown(["a.png"])


async def test_a_report_of_what_is_gone_is_not_taken(lemmy: Lemmy, client: LemmyClient) -> None:
    lemmy.answers[f"/api/{lemmy.version}/post/report"] = lambda: problem("not_found", 404)
    assert not await client.report(Shown("post", 7, "https://lemmy.example/post/7", "alice"), "it is denied")
