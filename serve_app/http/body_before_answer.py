"""Refusals that come before the end of a request's body: the rest of it is read first, within bounds.

A reverse proxy written in Go, as Caddy is, takes what is left of a request's body from its own client as soon as it has
the head of an answer. Where it has not passed all of the body on by then, it closes the connection to us for a failed
request, and its client gets the head of our answer and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.wire import FULL_FOR_HEADER

# As much as most pictures have. An honest client has sent that much in less time than this.
_MOST_BYTES = 1_000_000
_MOST_S = 1.0

# Refusals that wait at once. Whoever waits holds a connection, or a place in an ingress replica: beyond these, as
# strangers who send no bodies can bring them, a refusal leaves at once.
_MOST_WAITING = 128

_FULL_FOR = FULL_FOR_HEADER.lower().encode()


class BodyBeforeAnswer:
    """ASGI middleware: an answer begins after the end of the request's body, or when the bounds are reached."""

    def __init__(self, app: ASGIApp, deadline_s: float) -> None:
        """``deadline_s`` is that of an answer, of which an eighth is waited for a body at most."""
        self._app = app
        self._most_s = min(_MOST_S, deadline_s / 8)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        now_s = asyncio.get_running_loop().time
        # From here, so that an answer that is late for another reason does not wait.
        until_s = now_s() + self._most_s
        is_over = False
        # A body that waits for `100 Continue` comes only once it is read.
        is_coming = all(name != b"expect" for name, _ in scope["headers"])

        async def received() -> Message:
            nonlocal is_over, is_coming
            is_coming = True
            message = await receive()
            is_over = not message.get("more_body", False)  # also where the sender has left
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and is_coming and not is_over:
                message = await after_the_rest(message)
            await send(message)

        async def after_the_rest(message: Message) -> Message:
            began_s = now_s()
            if began_s >= until_s or self._waiting >= _MOST_WAITING:
                return message
            left_bytes = _MOST_BYTES
            self._waiting += 1
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(until_s):
                        while not is_over and left_bytes > 0:
                            left_bytes -= len((await received()).get("body", b""))
            finally:
                self._waiting -= 1
            waited_ms = round((now_s() - began_s) * 1e3)
            return {**message, "headers": _since_then(message.get("headers", ()), waited_ms)}

        await self._app(scope, received, sent)


def _has_body(scope: Scope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} and value != b"0" for name, value in scope["headers"])


def _since_then(headers: Iterable[tuple[bytes, bytes]], waited_ms: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that has waited: what it says of the time to come began before."""
    return [
        (name, b"%d" % max(0, int(value) - waited_ms) if name.lower() == _FULL_FOR else value)
        for name, value in headers
    ]
