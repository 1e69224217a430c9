"""The connection to one worker: messages wait in an outbox of their own, and nobody waits for the network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from serve_app.http.workers.websocket import unwritten_bytes_of
from serve_app.remote.frames import packed
from serve_app.remote.messages import BodyWork, Cancelled, FromFront, Refused, Work

# The views of some hundred pictures: more than a link carries within a deadline.
MOST_UNSENT_BYTES: Final = 64 * 1024 * 1024

STALLED_AFTER_S: Final = 30.0
"""A worker that reads nothing for this long is not there any more."""


class WorkerLine:
    """:class:`serve_app.remote.fleet.ports.Line` over an accepted WebSocket. For one event loop."""

    def __init__(self, websocket: WebSocket, stalled_after_s: float = STALLED_AFTER_S) -> None:
        """Nothing is written until :meth:`write` runs."""
        self._websocket = websocket
        self._in_transport: Callable[[], int] = unwritten_bytes_of(websocket)
        self._stalled_after_s = stalled_after_s
        self._outbox: deque[FromFront] = deque()
        self._outbox_bytes = 0
        self._has_work = asyncio.Event()
        self._is_closed = False
        self._is_flooded = False
        self.refused: Refused | None = None
        """What the worker was told last, where it was refused."""
        self.written_messages = 0
        """Since the connection began."""

    @property
    def unsent_bytes(self) -> int:
        """See the port."""
        return self._outbox_bytes + self._in_transport()

    def send(self, message: FromFront) -> None:
        """See the port. Work that is cancelled before it is on its way is never sent."""
        if self._is_closed or (isinstance(message, Cancelled) and self._took_back(message.number)):
            return
        self._outbox.append(message)
        self._outbox_bytes += _size_bytes(message)
        self._is_flooded |= self._outbox_bytes > MOST_UNSENT_BYTES
        self._has_work.set()

    def close(self, refused: Refused | None = None) -> None:
        """See the port. Only ``refused`` is still sent."""
        if self._is_closed:
            return
        self._outbox.clear()
        self._outbox_bytes = 0
        if refused is not None:
            self.refused = refused
            self.send(refused)
        self._is_closed = True
        self._has_work.set()

    async def write(self) -> str:
        """Write until the line is closed, or the worker is found not to read: why it ended, in words."""
        while True:
            while self._outbox and not self._is_flooded:
                message = self._outbox.popleft()
                self._outbox_bytes -= _size_bytes(message)
                try:
                    async with asyncio.timeout(self._stalled_after_s):
                        await self._websocket.send_bytes(packed(message))
                        self.written_messages += 1
                except TimeoutError:
                    return f"the worker has read nothing for {self._stalled_after_s:.0f} s"
                except (WebSocketDisconnect, WebSocketDisconnected, OSError):
                    return "the connection was lost"
            if self._is_flooded:
                return f"the worker does not read: {self._outbox_bytes} bytes wait for it"
            if self._is_closed:
                return "the front closed the connection"
            self._has_work.clear()
            await self._has_work.wait()

    def _took_back(self, number: int) -> bool:
        for place, message in enumerate(self._outbox):
            if isinstance(message, Work | BodyWork) and message.number == number:
                del self._outbox[place]
                self._outbox_bytes -= _size_bytes(message)
                return True
        return False


def _size_bytes(message: FromFront) -> int:
    if isinstance(message, BodyWork):
        return message.content.nbytes
    return message.pixels.nbytes + message.faces.nbytes if isinstance(message, Work) else 0
