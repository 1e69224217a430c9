"""The pictures of a multipart request that carries several: read under limits, in their order, and never on a disk."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

from serve_app.domain import (
    Call,
    Deadline,
    MalformedRequestError,
    TooLargeError,
    UnsupportedError,
)
from serve_app.http.body import arriving, declared_bytes
from serve_app.http.guard import Guard
from serve_app.http.multipart import PartHead, PartReader
from serve_app.misskey_api import MAX_DETECT_BODY_BYTES, MAX_PART_BYTES, MAX_PARTS
from serve_app.moderation import BodyMemory, Detector, Reservation
from serve_app.moderation.time_limit import until
from serve_app.stages import Stage, timed

_MULTIPART = "multipart/form-data"


@dataclass(slots=True)
class Part:
    """One part of a request. Nothing is stored of one that is too large."""

    head: PartHead
    received_bytes: int = 0
    _content: io.BytesIO = field(default_factory=io.BytesIO)

    def append(self, content: bytes) -> None:
        """Take the next bytes."""
        self.received_bytes += len(content)
        if self.is_too_large:
            self._content = io.BytesIO()
        else:
            self._content.write(content)

    @property
    def is_too_large(self) -> bool:
        """Whether it has more bytes than a part may have."""
        return self.received_bytes > MAX_PART_BYTES

    @property
    def stored_bytes(self) -> int:
        """How many of its bytes are in memory."""
        return 0 if self.is_too_large else self.received_bytes

    @property
    def content(self) -> bytes:
        """Its bytes; none if there are too many."""
        return self._content.getvalue()


class PartsIntake:
    """Takes requests with several pictures in."""

    def __init__(self, detector: Detector, guard: Guard, memory: BodyMemory) -> None:
        """``memory`` is that of all bodies in the process, whichever route they come by."""
        self._detector = detector
        self._guard = guard
        self._memory = memory

    @contextlib.asynccontextmanager
    async def parts(self, request: Request, call: Call) -> AsyncIterator[list[Part]]:
        """The parts of ``request``, in their order; their memory is reserved until the block ends.

        What its head tells is refused first, since the same request can never succeed.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
            TooLargeError: the body is too long, or has too many parts.
            UnsupportedError: it is no multipart body.
            MalformedRequestError: it is unreadable or has no part, or the sender left.
            FullError: the service has no room for the pictures.
            OverloadedError: the process has no memory for them.
            DeadlineExceededError: they did not arrive in time.
        """
        self._guard.require_misskey(request.headers.get("authorization"))
        declared = declared_bytes(request.headers, MAX_DETECT_BODY_BYTES)
        if _media_type(request) != _MULTIPART:
            if declared is None:
                await _require_short(request, call.deadline)
            raise UnsupportedError(f"the Content-Type must be {_MULTIPART}")
        self._detector.require_room()
        with self._memory.reserve(declared, call.lane) as reservation:
            with self._detector.arriving(), timed(Stage.BODY, call):
                parts = await _read_parts(request, call.deadline, reservation)
            self._detector.require_room(len(parts))
            yield parts


async def _read_parts(request: Request, deadline: Deadline, reservation: Reservation) -> list[Part]:
    parts: list[Part] = []

    def begin(head: PartHead) -> None:
        if len(parts) == MAX_PARTS:
            raise TooLargeError(f"a request has at most {MAX_PARTS} parts")
        parts.append(Part(head))

    def append(content: bytes) -> None:
        parts[-1].append(content)

    async with arriving(request, MAX_DETECT_BODY_BYTES, deadline, reservation) as chunks:
        reader = PartReader(request.headers["content-type"], begin, append)
        async for chunk in chunks:
            reader.write(chunk)
        reader.finish()
    if not parts:
        raise MalformedRequestError("the multipart body has no part")
    reservation.finish(sum(part.stored_bytes for part in parts))
    return parts


async def _require_short(request: Request, deadline: Deadline) -> None:
    """Pass over a body of unknown length, to learn which of two errors it is: too long comes before a wrong type.

    Raises:
        TooLargeError: it is too long.
        MalformedRequestError: the sender left.
        DeadlineExceededError: it did not arrive in time.
    """
    received_bytes = 0
    try:
        async with until(deadline, "reading the body"):
            async for chunk in request.stream():
                received_bytes += len(chunk)
                if received_bytes > MAX_DETECT_BODY_BYTES:
                    raise TooLargeError(f"the body is longer than {MAX_DETECT_BODY_BYTES} bytes, the limit")
    except ClientDisconnect as error:
        raise MalformedRequestError("the sender left before the end of the body") from error


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
