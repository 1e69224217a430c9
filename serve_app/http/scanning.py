"""A request to scan a picture, from its head to its answer."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from serve_app.answer_log import AnswerLogger
from serve_app.domain import (
    LANE_HEADER,
    Deadline,
    Lane,
    MalformedRequestError,
    OverloadedError,
    RequestError,
    UnauthorisedError,
    UnscannedError,
)
from serve_app.http.answers import Answer, answer_for_decision, answer_for_error
from serve_app.http.body import declared_bytes, read_body
from serve_app.http.disconnect import unless_sender_leaves
from serve_app.http.front_end import FULL_FOR_HEADER, refused_before
from serve_app.http.guard import Guard, Scope
from serve_app.http.neighbours import own_address
from serve_app.moderation import BodyMemory, Moderator
from serve_app.settings import Settings

logger = AnswerLogger(__name__)

# The rest of a body that is not read may have no end.
_CLOSE = {"Connection": "close"}

# Nobody reads it; nginx's number for the same in a log.
_STATUS_SENDER_LEFT = 499


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request arrived and what it is called in answers, decisions and logs."""

    request_id: str
    deadline: Deadline
    started_s: float

    @classmethod
    def now(cls, deadline_s: float) -> Arrival:
        """A request that arrives now."""
        # Never the client's X-Request-ID: two requests with one name would share an entry in the ledger.
        return cls(uuid.uuid4().hex, Deadline.after(deadline_s), time.monotonic())

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since it arrived."""
        return (time.monotonic() - self.started_s) * 1e3


class Scanning:
    """Answers requests to scan a picture. One instance serves many at once."""

    def __init__(self, moderator: Moderator, guard: Guard, settings: Settings) -> None:
        self._moderator = moderator
        self._guard = guard
        self._settings = settings
        self._memory = BodyMemory(settings.limits.max_inside_bytes)

    async def answer(self, request: Request, path_secret: str) -> Response:
        """Whatever happens, a response in time. ``path_secret`` is the last segment of the path, or nothing."""
        arrival = Arrival.now(self._settings.deadline_s)
        max_body_bytes = self._settings.limits.max_body_bytes
        try:
            self._require_authorised(request, path_secret, arrival)
            lane = _lane(request.headers.get(LANE_HEADER))
            try:
                self._moderator.require_room()
            except OverloadedError as error:
                return self._refuse_for_want_of_room(error, arrival)
            with self._memory.reserve(declared_bytes(request.headers, max_body_bytes), lane) as reservation:
                with self._moderator.arriving():
                    body = await read_body(request, max_body_bytes, arrival.deadline, reservation)
                deciding = self._moderator.moderate(body, arrival.request_id, arrival.deadline, lane)
                decision = await unless_sender_leaves(request, deciding)
        except (RequestError, UnscannedError) as error:
            return self._refuse(error, arrival, self._settings.retry_after_s, _CLOSE)
        except ClientDisconnect:
            logger.info("request %s: the sender left before the answer", arrival.request_id)
            return Response(status_code=_STATUS_SENDER_LEFT)
        status, answer = answer_for_decision(decision, arrival.elapsed_ms)
        return json_response(status, answer, self._settings.retry_after_s)

    def _require_authorised(self, request: Request, path_secret: str, arrival: Arrival) -> None:
        """Lets pass or raises, and counts either.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        refused = refused_before(request.headers)
        if refused:
            logger.info("%d requests before %s were refused by the front end", refused, arrival.request_id)
        client_host = own_address(request)
        try:
            self._guard.require(Scope.SCAN, path_secret, request.headers.get("authorization"), client_host)
        except UnauthorisedError:
            self._moderator.count_arrival(is_authorised=False, refused_before=refused)
            raise
        self._moderator.count_arrival(is_authorised=True, refused_before=refused)

    def _refuse_for_want_of_room(self, error: OverloadedError, arrival: Arrival) -> Response:
        """The front end reads the body and uses the connection again: under overload, a new one would cost more."""
        full_for_s = self._moderator.full_for_s
        return self._refuse(error, arrival, math.ceil(full_for_s), {FULL_FOR_HEADER: str(round(full_for_s * 1e3))})

    @staticmethod
    def _refuse(
        error: RequestError | UnscannedError, arrival: Arrival, retry_after_s: int, headers: Mapping[str, str]
    ) -> Response:
        status, answer = answer_for_error(error, arrival.request_id, arrival.elapsed_ms)
        logger.info("request %s answered %d %s", arrival.request_id, status, answer.reason)
        response = json_response(status, answer, retry_after_s)
        response.headers.update(headers)
        return response


def json_response(status: int, answer: Answer, retry_after_s: int) -> Response:
    """``answer`` as a response, with the headers that belong to its status."""
    headers = {"X-Request-ID": answer.request_id}
    if status == 503:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="pictwarden"'
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")


def _lane(told: str | None) -> Lane:
    try:
        return Lane(told.strip().lower()) if told else Lane.LIVE
    except ValueError:
        raise MalformedRequestError(f"{LANE_HEADER} is {' or '.join(Lane)}") from None
