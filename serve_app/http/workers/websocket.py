"""WebSockets of the one process: uvicorn's, that tell their unwritten bytes, and end whatever the peer does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

MOST_FRAME_BYTES: Final = 1_000_000
"""Of a frame that a peer sends; a longer one ends its connection before it is read."""

# Beyond this the kernel takes no more: what waits there cannot be taken back, and nobody can tell how much it is.
_MOST_IN_KERNEL_BYTES: Final = 128 * 1024

# For what is on its way when the application has ended; a peer that does not read would hold it for ever.
_CLOSED_WITHIN_S: Final = 5.0

# Pings and pongs of a peer, which have no other bound: a client sends one in some seconds.
_MOST_CONTROLS_AT_ONCE: Final = 100
_CONTROLS_PER_S: Final = 10.0

# Of a message in fragments: each may be empty, and is kept until the last one.
_MOST_FRAGMENTS: Final = 1000

_UNWRITTEN = "unwritten_bytes"


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket."""

    _controls = 0.0
    _controlled_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        own: socket.socket = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MOST_IN_KERNEL_BYTES)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.close()  # it was handed over whole: what is no handshake now will never be one

    def handle_cont(self, event: Frame) -> None:
        """See uvicorn."""
        if len(self.frames) < _MOST_FRAGMENTS:
            super().handle_cont(event)
        else:
            self.transport.abort()

    def handle_ping(self) -> None:
        """See uvicorn, which answers each, and never stops reading for it."""
        if self._may_control():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """See uvicorn."""
        if self._may_control():
            super().handle_pong(event)

    def _may_control(self) -> bool:
        """Count one; whether the peer may send it. Beyond that its connection ends."""
        now_s = self.loop.time()
        self._controls = max(0.0, self._controls - (now_s - self._controlled_s) * _CONTROLS_PER_S) + 1.0
        self._controlled_s = now_s
        if self._controls > _MOST_CONTROLS_AT_ONCE:
            self.transport.abort()
            return False
        return True

    async def send(self, message: Any) -> None:
        """See uvicorn."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # Else uvicorn takes a refusal for a fault, and writes a line for each stranger.
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """See uvicorn."""
        state: dict[str, Any] = self.scope["state"]
        state[_UNWRITTEN] = self.transport.get_write_buffer_size
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(_CLOSED_WITHIN_S, self.transport.abort)


def unwritten_bytes_of(connection: WebSocket) -> Callable[[], int]:
    """Tells how much ``connection`` has been given that the kernel has not taken yet."""
    unwritten: Callable[[], int] = connection.scope["state"].get(_UNWRITTEN, lambda: 0)
    return unwritten


OPTIONS: Final[dict[str, Any]] = {
    "ws": WebSocketConnection,
    "ws_max_size": MOST_FRAME_BYTES,
    "ws_ping_interval": None,  # the messages of workers have pings of their own
    "ws_per_message_deflate": False,  # pixels hardly shrink, and a small frame could unpack to any size
}
"""Of uvicorn, for a server with WebSockets."""
