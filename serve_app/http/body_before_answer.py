"""Refusals that come before the end of a request's body: the rest of it is read first, within bounds.

A reverse proxy written in Go, as Caddy is, takes what is left of a request's body from its own client as soon as it has
the head of an answer. Where it has not passed all of the body on by then, it closes the connection to us for a failed
request, and its client gets the head of our answer and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# As much as most pictures have. An honest client has sent that much in less time than this.
_MOST_BYTES = 1_000_000
_MOST_S = 1.0


class BodyBeforeAnswer:
    """ASGI middleware: an answer begins after the end of the request's body, or when the bounds are reached."""

    def __init__(self, app: ASGIApp, deadline_s: float) -> None:
        """``deadline_s`` is that of an answer, of which an eighth is waited for a body at most."""
        self._app = app
        self._most_s = min(_MOST_S, deadline_s / 8)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        # From here, so that an answer that is late for another reason does not wait.
        until_s = asyncio.get_running_loop().time() + self._most_s
        is_over = False

        async def received() -> Message:
            nonlocal is_over
            message = await receive()
            is_over = not message.get("more_body", False)  # also where the sender has left
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_over:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(until_s):
                        await discard()
            await send(message)

        async def discard() -> None:
            left_bytes = _MOST_BYTES
            while not is_over and left_bytes > 0:
                left_bytes -= len((await received()).get("body", b""))

        await self._app(scope, received, sent)


def _has_body(scope: Scope) -> bool:
    """Whether a body is on its way: one that waits for ``100 Continue`` is not."""
    names = {name for name, value in scope["headers"] if value != b"0"}
    return not names.isdisjoint({b"content-length", b"transfer-encoding"}) and b"expect" not in names
