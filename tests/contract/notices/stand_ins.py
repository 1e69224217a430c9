"""Stand-ins for what notices are sent to: ntfy, a Matrix server, a webhook and a mail server, over real sockets.

Each takes what the real one takes, and fails as a test says. What they ask for follows the documentation of ntfy
(publish as JSON), the Matrix client-server API 1.x and RFC 5321.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

TOKEN = "tk_of-the-tests-and-nothing-else"
PASSWORD = "hush-hush-hush"
ROOM = "!a-room:matrix.test"
TOPIC = "a-topic-nobody-guesses"
HOOK = "a-path-that-is-a-secret"


@dataclass
class Got:
    """A message as somebody would read it."""

    title: str
    text: str


@dataclass
class HttpStandIn:
    """ntfy, Matrix and a webhook at one address. ``fault`` is a status that it answers to everything, or ``hang``."""

    address: str = ""
    fault: int | str | None = None
    ntfy: list[Got] = field(default_factory=list)
    matrix: list[Got] = field(default_factory=list)
    webhook: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.fault == "hang":
            await self.is_over.wait()
        if isinstance(self.fault, int):
            return web.json_response({"errcode": "M_UNKNOWN", "error": f"no: {TOKEN}"}, status=self.fault)
        if request.path.startswith("/_matrix/"):
            return await self._matrix(request)
        return await (self._webhook(request) if request.path == f"/{HOOK}" else self._ntfy(request))

    async def _ntfy(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"code": 40101, "http": 401, "error": "unauthorized"}, status=401)
        given = json.loads(await request.text())
        if given["topic"] != TOPIC:
            return web.json_response({"code": 40301, "http": 403, "error": "forbidden"}, status=403)
        self.ntfy.append(Got(given["title"], given["message"]))
        return web.json_response({"id": "x", "event": "message", **given})

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        self.webhook.append(json.loads(await request.text()))
        return web.Response(status=204)

    async def _matrix(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/_matrix/client/v3")
        if path == "/login":
            given = json.loads(await request.text())
            if given["password"] != PASSWORD:
                return web.json_response({"errcode": "M_FORBIDDEN"}, status=403)
            return web.json_response({"access_token": TOKEN, "user_id": "@bot:matrix.test", "device_id": "D"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"errcode": "M_UNKNOWN_TOKEN"}, status=401)
        if path == "/account/whoami":
            return web.json_response({"user_id": "@bot:matrix.test", "device_id": "D"})
        if request.method == "POST" and path == f"/join/{ROOM}":
            return web.json_response({"room_id": ROOM})
        if request.method == "PUT" and path.startswith(f"/rooms/{ROOM}/send/m.room.message/"):
            given = json.loads(await request.text())
            title, _, text = given["body"].partition("\r\n")
            self.matrix.append(Got(title.removeprefix("# "), text))
            return web.json_response({"event_id": "$1"})
        return web.json_response({"errcode": "M_NOT_FOUND"}, status=404)


@contextlib.asynccontextmanager
async def http_stand_in() -> AsyncIterator[HttpStandIn]:
    stand_in = HttpStandIn()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stand_in.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        stand_in.address = f"127.0.0.1:{server.port}"
        yield stand_in
        stand_in.is_over.set()


@dataclass
class MailStandIn:
    """A mail server that wants a login. ``refuses`` makes it refuse whoever it is to be brought to."""

    port: int = 0
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refuses:
            return f"550 no such user {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


def _authenticated(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=is_right, handled=is_right)  # what is not handled is answered 535


@contextlib.asynccontextmanager
async def mail_stand_in() -> AsyncIterator[MailStandIn]:
    stand_in = MailStandIn()

    def connection() -> SMTP:
        return SMTP(
            stand_in, hostname="mail.test", authenticator=_authenticated, auth_required=True, auth_require_tls=False
        )

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    stand_in.port = server.sockets[0].getsockname()[1]
    try:
        yield stand_in
    finally:
        server.close()
        await server.wait_closed()
