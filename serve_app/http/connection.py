"""Connections of the one process: uvicorn's, with an end to everything that a peer could draw out or pile up.

On Ray Serve, HAProxy stands in front and bounds all of this. uvicorn alone waits without an end for the head of a
request, takes heads of any length, and queues as many requests as a peer sends ahead of its answers.
"""

from __future__ import annotations

import asyncio
import enum
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve_app.misskey_api import DETECT_PATH
from serve_app.wire import REQUEST_ID_HEADER, bare_answer

# pict-rs's client keeps idle connections for 90 s; it should be the one that closes them.
KEEP_ALIVE_S = 95

# pict-rs's heads are 300 bytes long. The same holds for anything else that comes between two pieces of a body.
_MOST_HEAD_BYTES = 16_384

# Of a body after its refusal, which has waited for as much (serve_app/http/body_before_answer.py): as much as most
# pictures have. A connection costs less than more of it.
_MOST_DISCARDED_BYTES = 1_000_000

# Of one by Misskey: ten of its pictures, 299x299, without compression. A connection that is reset has no status to log.
_MOST_DISCARDED_PARTS_BYTES = 3_000_000

# A drain closes connections without a request, but only after this time: a request may be on its way on them.
_LAST_REQUEST_S = 0.25


class _Phase(enum.Enum):
    """What a connection is waiting for."""

    IDLE = enum.auto()
    """The first byte of another request."""
    HEAD = enum.auto()
    """The end of a request's head; or of what a refused peer still sends, and then of a head."""
    REQUEST = enum.auto()
    """The end of an answer."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long a connection may take for what, and how many there may be."""

    head_s: float
    """Seconds from connecting, or from the first byte after an answer, to the end of a head."""
    request_s: float
    """Seconds from there until all of the answer is taken: more than any answer takes."""
    most_connections: int


class Connections:
    """What all connections of a server share. For one event loop."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.is_draining = False
        self._open: set[Connection] = set()
        # The one that has been without a request for longest is the first.
        self._without_request: OrderedDict[Connection, None] = OrderedDict()

    def opened(self, connection: Connection) -> None:
        """There is one more; where they are too many, the one goes that has been without a request for longest."""
        self._open.add(connection)
        self._without_request[connection] = None
        if len(self._open) > self.limits.most_connections:
            oldest, _ = self._without_request.popitem(last=False)
            oldest.abort()

    def closed(self, connection: Connection) -> None:
        """There is one less."""
        self._open.discard(connection)
        self._without_request.pop(connection, None)

    def drain(self, within_s: float) -> None:
        """From now on each connection is closed after the request inside, or about to be, and all in ``within_s``."""
        self.is_draining = True
        for connection in tuple(self._open):
            connection.shutdown()
        # uvicorn cancels what is inside at the end of a drain, and leaves it its connection.
        asyncio.get_running_loop().call_later(within_s, self._abort)

    def _abort(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    def note(self, connection: Connection, *, has_request: bool) -> None:
        """From now on ``connection`` has a request inside, or none."""
        self._without_request.pop(connection, None)
        if not has_request:
            self._without_request[connection] = None


class _Lingering:
    """A transport that uvicorn can close before its peer has sent all: what the peer gets is still the answer.

    A socket that is closed answers what comes with a reset, and a peer that is told so while it sends may never read
    what it was answered. So only our side is closed, and the rest is read and discarded (RFC 9112, 9.6).
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.is_peer_sending = False
        """Whether more of what its owner has begun to answer may come."""
        self._is_lingering = False
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def close(self) -> None:
        """Close it, or only our side of it while the peer sends."""
        if self._is_lingering or not self.is_peer_sending:
            self.transport.close()
        elif not self.transport.is_closing():
            self._is_lingering = True
            self.transport.write_eof()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._is_lingering or self.transport.is_closing()


class Connection(HttpToolsProtocol):
    """One connection: a request at a time, each phase with an end."""

    def __init__(self, shared: Connections, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._shared = shared
        self._phase = _Phase.HEAD
        self._expiry: asyncio.TimerHandle | None = None
        self._bytes_since_progress = 0
        self._discarded_bytes = 0
        self._lingering: _Lingering
        self._is_deaf = False

    def abort(self) -> None:
        """Close it, whatever is on its way."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        self._lingering = _Lingering(transport)
        super().connection_made(cast("asyncio.Transport", self._lingering))
        self._shared.opened(self)
        self._enter(_Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._shared.closed(self)
        if self._expiry is not None:
            self._expiry.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self.transport.is_closing():
            self._discard(data)
            return
        if self._is_deaf:
            return
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD)
        self._bytes_since_progress += len(data)
        super().data_received(data)
        is_over = self._bytes_since_progress > _MOST_HEAD_BYTES
        if is_over and not (self._is_deaf or self.transport.is_closing()):
            self._refuse(b"431 Request Header Fields Too Large", f"a head has at most {_MOST_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """See httptools."""
        if self._phase is _Phase.REQUEST:
            # A request that is sent ahead of an answer. Queued, thousands of them would fit into one packet; its sender
            # must be ready to send it again, on another connection (RFC 9112, 9.3.2).
            self.cycle.keep_alive = False
            self._is_deaf = True
            self._lingering.is_peer_sending = True
            raise _SentAheadError
        self._lingering.is_peer_sending = True
        self._discarded_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self.parser.should_upgrade() and self._should_upgrade() and self._has_body():
            # The other protocol would wait in silence behind what it takes for no handshake.
            raise _BodyOfUpgradeError
        super().on_headers_complete()
        self._bytes_since_progress = 0
        self._enter(_Phase.REQUEST)
        if self._shared.is_draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def handle_websocket_upgrade(self) -> None:
        """See uvicorn: the connection is another protocol's from now on, which has limits of its own."""
        self._shared.closed(self)
        if self._expiry is not None:
            self._expiry.cancel()
        self.transport = self._lingering.transport
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._bytes_since_progress = 0
        super().on_body(body)
        if self.cycle.response_complete:
            self._discard(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._bytes_since_progress = 0
        self._lingering.is_peer_sending = False
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:  # an upgrade has none
            self._enter(_Phase.IDLE)

    def on_response_complete(self) -> None:
        """See uvicorn."""
        super().on_response_complete()
        if self._lingering.is_peer_sending:
            self.flow.resume_reading()
        # One that is closing has as long to take its answer as one whose body was refused has to send the rest.
        is_idle = not self._lingering.is_peer_sending and not self.transport.is_closing()
        self._enter(_Phase.IDLE if is_idle else _Phase.HEAD)

    def shutdown(self) -> None:
        """See uvicorn: answer the request that is inside, or about to be, and close."""
        if self._phase is _Phase.REQUEST:
            self.cycle.keep_alive = False
        else:
            self._enter(self._phase)

    def send_400_response(self, msg: str) -> None:
        """See uvicorn: what was received is not HTTP."""
        if not self._is_deaf:
            self._refuse(b"400 Bad Request", "the request is not valid HTTP")

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a peer that asks for an upgrade is answered without one, and no line of ours recommends software."""

    def _has_body(self) -> bool:
        lengths = {value for name, value in self.headers if name == b"content-length"}
        return bool(lengths - {b"0"}) or any(name == b"transfer-encoding" for name, _ in self.headers)

    def _refuse(self, status: bytes, message: str) -> None:
        answer = bare_answer("malformed_request", message, uuid.uuid4().hex, 0.0)
        body = answer.model_dump_json().encode()
        head = (
            b"HTTP/1.1 " + status,
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            f"{REQUEST_ID_HEADER}: {answer.request_id}".encode(),
            b"connection: close",
        )
        self.transport.write(b"\r\n".join((*head, b"", body)))
        self._lingering.is_peer_sending = True
        self.transport.close()
        self.flow.resume_reading()
        if self._phase is _Phase.REQUEST and self.cycle is not None:
            # Its body ends in this: for the application its sender has left.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._enter(_Phase.HEAD)

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        is_of_misskey = self.scope is not None and self.scope.get("path") == DETECT_PATH
        if self._discarded_bytes > (_MOST_DISCARDED_PARTS_BYTES if is_of_misskey else _MOST_DISCARDED_BYTES):
            self.abort()

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._shared.note(self, has_request=phase is _Phase.REQUEST)
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self.loop.call_later(self._limit_s(phase), self.abort)

    def _limit_s(self, phase: _Phase) -> float:
        limits = self._shared.limits
        if phase is _Phase.REQUEST:
            return limits.request_s
        if self._shared.is_draining:
            return _LAST_REQUEST_S
        return KEEP_ALIVE_S if phase is _Phase.IDLE else limits.head_s


class _BodyOfUpgradeError(Exception):
    """Ends the parsing of an upgrade that has a body."""


class _SentAheadError(Exception):
    """Ends the parsing of what was received."""
