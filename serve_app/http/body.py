"""The body of a request, under a limit and a deadline, never on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    EmptyBodyError,
    MalformedRequestError,
    TooLargeError,
)

# Boundaries and part headers around the one file of a multipart body.
_MULTIPART_OVERHEAD_BYTES = 16_384


async def read_body(request: Request, max_body_bytes: int, deadline: Deadline) -> bytes:
    """The picture's bytes: the raw body, or the ``file`` part of a multipart one.

    Raises:
        EmptyBodyError: there are none.
        MalformedRequestError: multipart, and not readable or without a ``file`` part; or the sender left half-way.
        TooLargeError: more than ``max_body_bytes``; noticed while reading, at the first byte too many.
        DeadlineExceededError: the sender is slower than the time we have.
    """
    is_multipart = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    limit_bytes = max_body_bytes + (_MULTIPART_OVERHEAD_BYTES if is_multipart else 0)
    try:
        async with asyncio.timeout(deadline.require("reading the body")):
            body = await _read_raw(request, limit_bytes)
            if is_multipart:
                body = await _file_part(request.headers, body)
    except TimeoutError as error:
        raise DeadlineExceededError("the body did not arrive in time") from error
    except ClientDisconnect as error:
        raise MalformedRequestError("the sender left before the end of the body") from error
    if len(body) > max_body_bytes:
        raise TooLargeError(f"the body has more than {max_body_bytes} bytes")
    if not body:
        raise EmptyBodyError("the request has no body; send the picture's bytes")
    return body


async def _read_raw(request: Request, limit_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise TooLargeError(f"the body has {declared} bytes, and {limit_bytes} are the limit")
    chunks: list[bytes] = []
    read_bytes = 0
    async for chunk in request.stream():
        read_bytes += len(chunk)
        if read_bytes > limit_bytes:
            raise TooLargeError(f"the body has more than {limit_bytes} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


class _InMemoryParser(MultiPartParser):
    """Starlette's parser writes parts over 1 MiB to a temporary file; no picture may reach a disk."""

    spool_max_size = 1 << 62


async def _file_part(headers: Headers, body: bytes) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemoryParser(headers, stream(), max_files=1, max_fields=8).parse()
    except (MultiPartException, KeyError, ValueError) as error:  # a ValueError where a name is not of its charset
        raise MalformedRequestError("the multipart body cannot be read") from error
    try:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            raise MalformedRequestError("the multipart body has no part named 'file'")
        return await part.read()
    finally:
        await form.close()
