"""The intake of pictures: authentication, room in the service, and memory for the body."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from serve_app.domain import Body, Call, UnauthorisedError
from serve_app.domain.limits import Limits
from serve_app.http.arrival import Arrival, refused_before
from serve_app.http.body import declared_bytes, read_body, scan_limit_bytes
from serve_app.http.guard import Guard
from serve_app.http.neighbours import own_address
from serve_app.logs import EventLogger
from serve_app.moderation import BodyMemory, Moderator
from serve_app.stages import Stage, timed

logger = EventLogger(__name__)


class Intake:
    """Takes pictures in."""

    def __init__(
        self, moderator: Moderator, guard: Guard, limits: Limits, memory: BodyMemory, *, has_front_end: bool = False
    ) -> None:
        """``memory`` is that of all bodies in the process, whichever route they come by.

        ``has_front_end`` if only one of ours sends requests, which tells what it has refused: of others, anybody could.
        """
        self._moderator = moderator
        self._guard = guard
        self._max_body_bytes = limits.max_body_bytes
        self._memory = memory
        self._has_front_end = has_front_end

    def source_of(self, request: Request, path_secret: str, arrival: Arrival) -> str:
        """The source of ``request``, if its sender may have pictures scanned; either is counted.

        Args:
            request: its body is not read.
            path_secret: the last segment of the path, or an empty text.
            arrival: of the request.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        refused = refused_before(request.headers) if self._has_front_end else 0
        if refused:
            text = f"{refused} requests before it were refused by the front end"
            logger.info("refused_by_front_end", text, request_id=arrival.request_id, requests=refused)
        client_host = own_address(request)
        try:
            source = self._guard.require_scanner(path_secret, request.headers.get("authorization"), client_host)
        except UnauthorisedError:
            self._moderator.count_arrival(is_authorised=False, refused_before=refused)
            raise
        self._moderator.count_arrival(is_authorised=True, refused_before=refused)
        return source

    @contextlib.asynccontextmanager
    async def body(self, request: Request, call: Call) -> AsyncIterator[Body]:
        """The picture of ``request``; its memory is reserved until the block ends.

        Raises:
            FullError: the service has no room for a picture, or none of its source; nothing was read.
            OverloadedError: the process has no memory for this one.
            RequestError: as :func:`~serve_app.http.body.read_body`.
            UnscannedError: as :func:`~serve_app.http.body.read_body`.
        """
        self._moderator.require_room(call)
        declared = declared_bytes(request.headers, scan_limit_bytes(request.headers, self._max_body_bytes))
        with self._memory.reserve(declared, call.lane, call.source) as reservation:
            with self._moderator.arriving(call), timed(Stage.BODY, call):
                body = await read_body(request, self._max_body_bytes, call.deadline, reservation)
            yield body
