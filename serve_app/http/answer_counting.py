"""Counts the answers of an application, whichever route and whatever fault they come from."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.domain import Lane
from serve_app.metrics import AnswerTimes
from serve_app.misskey_api import DETECT_PATH
from serve_app.wire import LANE_HEADER, SCAN_PATH

_ROUTES = {SCAN_PATH: "scan", DETECT_PATH: "misskey"}
_LANE_HEADER = LANE_HEADER.lower().encode()
_BACKGROUND = Lane.BACKGROUND.value.encode()
_FAULT = 500


class AnswerCounting:
    """ASGI middleware around the routes that take pictures."""

    def __init__(self, app: ASGIApp, answers: AnswerTimes) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        route = _route_of(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        status, is_read = _FAULT, False

        async def received() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or (message["type"] == "http.request" and not message.get("more_body", False))
            return message

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            self._answers.answered(route, status, _lane_of(scope), time.monotonic() - began_s if is_read else None)


def _route_of(scope: Scope) -> str | None:
    if scope["type"] != "http":
        return None
    path = scope["path"]
    return next((route for prefix, route in _ROUTES.items() if path == prefix or path.startswith(f"{prefix}/")), None)


def _lane_of(scope: Scope) -> Lane:
    is_background = any(
        name == _LANE_HEADER and value.strip().lower() == _BACKGROUND for name, value in scope["headers"]
    )
    return Lane.BACKGROUND if is_background else Lane.LIVE
