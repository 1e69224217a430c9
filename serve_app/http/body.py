"""The body of a request: read under a limit, a deadline and a reservation of memory, hashed as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import io
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from serve_app.domain import (
    Body,
    Clock,
    Deadline,
    DeadlineExceededError,
    EmptyBodyError,
    MalformedRequestError,
    OverloadedError,
    TooLargeError,
)
from serve_app.http.multipart import FilePartReader
from serve_app.moderation import Reservation

# Boundaries and part headers around the one file of a multipart body.
_MULTIPART_OVERHEAD_BYTES = 16_384


def declared_bytes(headers: Headers, limit_bytes: int) -> int | None:
    """The length that the sender declares; None if it declares none, as pict-rs, which sends chunks.

    Raises:
        TooLargeError: it is longer than ``limit_bytes``.
    """
    declared = headers.get("content-length", "")
    if not (declared.isascii() and declared.isdecimal()):
        return None
    if int(declared) > limit_bytes:
        raise TooLargeError(f"the body is {declared} bytes; the limit is {limit_bytes}")
    return int(declared)


async def read_body(request: Request, max_body_bytes: int, deadline: Deadline, reservation: Reservation) -> Body:
    """The picture's bytes: the raw body, or the ``file`` part of a multipart one.

    Raises:
        EmptyBodyError: the body has no bytes.
        MalformedRequestError: a multipart body is unreadable or has no ``file`` part, or the sender left.
        TooLargeError: the body is longer than ``max_body_bytes``; raised at the first byte beyond.
        OverloadedError: older bodies need the memory.
        DeadlineExceededError: the body did not arrive in time.
    """
    content = _Content(max_body_bytes)
    async with arriving(request, scan_limit_bytes(request.headers, max_body_bytes), deadline, reservation) as chunks:
        if _is_multipart(request.headers):
            part = FilePartReader(request.headers["content-type"], content.append)
            async for chunk in chunks:
                part.write(chunk)
            part.finish()
        else:
            async for chunk in chunks:
                content.append(chunk)
    body = content.body()
    reservation.finish(len(body.content))
    return body


def scan_limit_bytes(headers: Headers, max_body_bytes: int) -> int:
    """The longest body of a request with a picture of ``max_body_bytes``."""
    return max_body_bytes + (_MULTIPART_OVERHEAD_BYTES if _is_multipart(headers) else 0)


@contextlib.asynccontextmanager
async def arriving(
    request: Request, limit_bytes: int, deadline: Deadline, reservation: Reservation
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The chunks of a request's body, which are to be read within the block.

    Raises:
        MalformedRequestError: the sender left.
        TooLargeError: the body is longer than ``limit_bytes``; raised at the first byte beyond.
        OverloadedError: older bodies need the memory.
        DeadlineExceededError: the body did not arrive in time.
    """
    try:
        async with asyncio.timeout(deadline.require("reading the body")) as limit:
            loop = asyncio.get_running_loop()
            reservation.on_refused = functools.partial(_end, limit, loop.time)
            yield _chunks(request, limit_bytes, reservation)
    except TimeoutError as error:
        if reservation.is_refused:
            raise OverloadedError("older pictures need all the memory for pictures") from error
        raise DeadlineExceededError("the body did not arrive in time") from error
    except ClientDisconnect as error:
        raise MalformedRequestError("the sender left before the end of the body") from error


def _end(limit: asyncio.Timeout, clock: Clock) -> None:
    with contextlib.suppress(RuntimeError):  # the timeout is ending already
        limit.reschedule(clock())


class _Content:
    """The picture's bytes so far, and their digest."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # A list of chunks would hold each body twice when they are joined.
        self._content = io.BytesIO()
        self._sha256 = hashlib.sha256()

    def append(self, chunk: bytes) -> None:
        if self._content.tell() + len(chunk) > self._max_bytes:
            raise TooLargeError(f"the body is longer than {self._max_bytes} bytes, the limit")
        self._sha256.update(chunk)
        self._content.write(chunk)

    def body(self) -> Body:
        if not self._content.tell():
            raise EmptyBodyError("the request has no body: send the picture's bytes")
        return Body(self._content.getvalue(), self._sha256.hexdigest())


async def _chunks(request: Request, limit_bytes: int, reservation: Reservation) -> AsyncIterator[bytes]:
    """The request's chunks; the memory of each is reserved before it is yielded."""
    read_bytes = 0
    async for chunk in request.stream():
        read_bytes += len(chunk)
        if read_bytes > limit_bytes:
            raise TooLargeError(f"the body is longer than {limit_bytes} bytes, the limit")
        reservation.grow(read_bytes)
        yield chunk


def _is_multipart(headers: Headers) -> bool:
    return headers.get("content-type", "").lower().startswith("multipart/form-data")
