"""An HTTP client that costs little, because it shares its cores with the service that it measures.

It and :mod:`benchmarks.load` are the only modules of the benchmarks that touch the network. A request is a POST as
pict-rs makes it: raw bytes, chunked, no ``Content-Length``. Nothing is sent twice and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import cast
from urllib.parse import unquote, urlsplit

import httptools

USER_AGENT = "pict-rs v0.5.17 (pictwarden benchmark)"

Parts = Sequence[bytes | memoryview]
"""A body in pieces, sent one behind the other, so that nobody copies megabytes to change sixteen bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body."""

    status: int
    body: bytes


class Client:
    """Connections to one URL, kept open and used again, as many as there are requests at once.

    Use it as an asynchronous context manager.
    """

    def __init__(self, url: str) -> None:
        """``user:password@`` in ``url`` becomes HTTP Basic.

        Raises:
            ValueError: ``url`` is not http or https, or has no host.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is not an http or https URL")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        host = parts.netloc.rpartition("@")[2]
        self._common = f"Host: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n{_authorization(url)}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._post = f"POST {path} HTTP/1.1\r\n{self._common}Transfer-Encoding: chunked\r\nContent-Type: ".encode()
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self.unasked_answers = 0
        """Answers that came on a connection on which no request waited for one."""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._open:
            connection.close()

    async def post(self, parts: Parts, content_type: str = "image/jpeg") -> Answer:
        """The answer to one body.

        Raises:
            OSError: no connection, or it ended without an answer, or with one that is no HTTP.
        """
        length = sum(map(len, parts))
        head = self._post + f"{content_type}\r\n\r\n{length:x}\r\n".encode()
        return await self._exchange([head, *parts, b"\r\n0\r\n\r\n"])

    async def get(self, path: str) -> Answer:
        """The answer for another path of the same host. Raises OSError as :meth:`post`."""
        return await self._exchange([f"GET {path} HTTP/1.1\r\n{self._common}\r\n".encode()])

    async def _exchange(self, parts: Parts) -> Answer:
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            answer = await connection.exchange(parts)
        except BaseException:  # a request that is given up may still be answered: nobody else may read that
            connection.close()
            raise
        if connection.is_reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), self._host, self._port, ssl=self._tls)
        self._open.add(connection)
        return connection

    def forget(self, connection: _Connection) -> None:
        """``connection`` has ended."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(asyncio.Protocol):
    """One request at a time. The methods from ``on_status`` on are httptools' callbacks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._body = bytearray()
        self._is_framed = False
        self._has_head = False
        self._is_sent = True
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self.is_reusable = True

    async def exchange(self, parts: Parts) -> Answer:
        """Send, and wait for the answer."""
        if self._transport is None:
            raise ConnectionError("the connection has ended")
        self._answer = asyncio.get_running_loop().create_future()
        self._is_sent = False
        for part in parts:
            await self._may_go_on.wait()  # megabytes that nobody takes would lie in this process
            if self._answer.done() or self._transport is None or self._transport.is_closing():
                return await self._answer
            self._transport.write(part)
        self._is_sent = True
        return await self._answer

    def close(self) -> None:
        """Give up whatever goes on."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without inheriting from it

    def pause_writing(self) -> None:
        self._may_go_on.clear()

    def resume_writing(self) -> None:
        self._may_go_on.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.is_reusable = False
        self._client.forget(self)
        if error is None and self._has_head and not self._is_framed:
            self.on_message_complete()  # the end of the connection is the end of such an answer
        self._fail(error or ConnectionError("the connection ended without an answer"))

    def on_message_begin(self) -> None:
        self._body.clear()
        self._is_framed = self._has_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._is_framed = self._is_framed or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # "continue": the answer is still to come
            return
        self._has_head = False
        self.is_reusable = self.is_reusable and self._is_sent and self._parser.should_keep_alive()
        if self._answer is None or self._answer.done():
            self._client.unasked_answers += 1
        else:
            self._answer.set_result(Answer(status, bytes(self._body)))
        self._may_go_on.set()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error if isinstance(error, OSError) else ConnectionError(str(error)))
        self._may_go_on.set()


def _authorization(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is None:
        return ""
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return f"Authorization: Basic {base64.b64encode(secret).decode()}\r\n"
