"""pictrs-safety's protocol, as pict-rs speaks it: a POST with a picture, answered by the status."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from serve_app.domain import (
    FullError,
    Lane,
    RequestError,
    SourceFullError,
    UnauthorisedError,
    UnscannedError,
)
from serve_app.http.answers import answer_for_decision, answer_for_error, json_response
from serve_app.http.arrival import UNANSWERED, Arrival
from serve_app.http.disconnect import unless_sender_leaves
from serve_app.http.intake import Intake
from serve_app.http.plain_route import PlainRoute
from serve_app.http.strangers import Strangers
from serve_app.logs import EventLogger, of_request
from serve_app.moderation import Moderator
from serve_app.settings import Settings
from serve_app.tracing import begin_request
from serve_app.wire import FULL_FOR_HEADER, LANE_HEADER, SCAN_PATH, STATUS_TEXTS, Answer

logger = EventLogger(__name__)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Answer, "description": text} for status, text in STATUS_TEXTS.items()
}
_OPENAPI: dict[str, Any] = {
    "parameters": [
        {
            "name": LANE_HEADER,
            "in": "header",
            "schema": {"enum": list(Lane), "default": Lane.LIVE},
            "description": "background: work that can wait, and never delays an upload",
        }
    ],
    "requestBody": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
}


def router(moderator: Moderator, intake: Intake, settings: Settings, strangers: Strangers) -> APIRouter:
    """The scan path, with the secret in it or in a header."""
    routes = APIRouter(route_class=PlainRoute)
    pictures = Pictures(moderator, intake, settings, strangers)
    for path, endpoint in ((f"{SCAN_PATH}/{{secret}}", pictures.scan_by_path), (SCAN_PATH, pictures.scan)):
        routes.post(
            path,
            summary="Scan a picture",
            response_model=Answer,
            responses=_RESPONSES,
            openapi_extra=_OPENAPI,
            operation_id=endpoint.__name__,
        )(endpoint)
    return routes


class Pictures:
    """Answers for each picture that is sent, in time, whatever happens."""

    def __init__(self, moderator: Moderator, intake: Intake, settings: Settings, strangers: Strangers) -> None:
        self._moderator, self._intake, self._strangers = moderator, intake, strangers
        self._deadline_s, self._retry_after_s = settings.deadline_s, settings.retry_after_s
        self._shares = {name: source.share for name, source in settings.sources.items()}

    async def scan_by_path(self, request: Request, secret: str) -> Response:
        """With the secret in the path."""
        return await self._answer(request, secret)

    # A function with an optional argument would also take the secret from the query, which proxies log.
    async def scan(self, request: Request) -> Response:
        """With the secret in a header."""
        return await self._answer(request, "")

    async def _answer(self, request: Request, secret: str) -> Response:
        arrival = Arrival.now(self._deadline_s, begin_request("scan", request.headers))
        of_request(arrival.request_id)
        try:
            source = self._intake.source_of(request, secret, arrival)
        except UnauthorisedError as error:
            return self._refusal(request, error, arrival, None)
        with arrival.traced(source):
            return await self._answer_source(request, arrival, source)

    async def _answer_source(self, request: Request, arrival: Arrival, source: str) -> Response:
        try:
            call = arrival.call(request.headers, source, self._shares.get(source, 1.0))
            async with self._intake.body(request, call) as body:
                decision = await unless_sender_leaves(request, self._moderator.moderate(body, call))
        except (RequestError, UnscannedError) as error:
            return self._refusal(request, error, arrival, source)
        except ClientDisconnect:
            text = f"the sender left before the answer, source={source}"
            logger.info("sender_left", text, request_id=arrival.request_id, source=source)
            arrival.answered(UNANSWERED, "sender_left", source)
            return Response(status_code=UNANSWERED)
        status, answered = answer_for_decision(decision, arrival.elapsed_ms)
        response = json_response(status, answered, self._retry_after_s)
        arrival.answered(status, decision.verdict or decision.reason, decision.source)
        return response

    def _refusal(
        self, request: Request, error: RequestError | UnscannedError, arrival: Arrival, source: str | None
    ) -> Response:
        status, answered = answer_for_error(error, arrival.request_id, arrival.elapsed_ms)
        if source is not None or self._strangers.has_line():
            text = f"answered {status} {answered.reason} source={source}"
            logger.info(
                "refused", text, request_id=arrival.request_id, status=status, reason=answered.reason, source=source
            )
        is_full = isinstance(error, FullError)
        # The front end knows no sources: what it refused by itself would be the pictures of all of them.
        is_full_for_all = is_full and not isinstance(error, SourceFullError)
        full_for_s = self._moderator.full_for_s
        response = json_response(status, answered, math.ceil(full_for_s) if is_full_for_all else self._retry_after_s)
        if is_full_for_all:
            response.headers[FULL_FOR_HEADER] = str(round(full_for_s * 1e3))
        # Under overload a new connection costs more than the rest of a body, which whoever holds the connection reads,
        # for a bounded time. Any other body may have no end; and one that waits for `100 Continue` may never come.
        if not is_full or "expect" in request.headers:
            response.headers["Connection"] = "close"
        if source is not None:
            arrival.answered(status, answered.reason, source)
        return response
