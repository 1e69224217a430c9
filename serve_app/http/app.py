"""The FastAPI application: a drop-in for pictrs-safety's endpoint, and what an operator asks of a service."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from serve_app.domain import (
    LANE_HEADER,
    ConfigurationError,
    Deadline,
    Lane,
    MalformedRequestError,
    NotScannedError,
    OverloadedError,
    RequestError,
    UnscannedError,
)
from serve_app.http.answers import Answer, answer_for_decision, answer_for_error, bare_answer
from serve_app.http.authentication import Authenticator
from serve_app.http.body import read_body
from serve_app.http.front_end import FULL_FOR_HEADER, refused_before
from serve_app.moderation import Moderator
from serve_app.settings import Settings

logger = logging.getLogger(__name__)

SCAN_PATH = "/api/v1/scan"

# How long `/readyz` waits for a scorer: shorter than the second that load balancers commonly give a probe.
_READY_WAIT_S = 0.8

_STATUS_TEXTS = {
    200: "keep the picture: accepted, flagged, or not looked at while `on_unscanned` is `accept`",
    400: "no body, or a multipart body without a `file` part",
    401: "no secret, or a wrong one; answered before the body is read",
    406: "rejected by the policy",
    413: "more bytes, pixels or frames than the limits allow",
    415: "of no type that is read",
    422: "cannot be decoded from end to end: `undecodable` or `truncated`",
    503: "not looked at: `deadline`, `overloaded` or `unavailable`; may be sent again",
}


@dataclass(frozen=True, slots=True)
class _Arrival:
    """When a request arrived and what it is called in answers, decisions and logs."""

    request_id: str
    deadline: Deadline
    started_s: float

    @classmethod
    def now(cls, deadline_s: float) -> _Arrival:
        # Never the client's X-Request-ID: two requests with one name would share an entry in the ledger.
        return cls(uuid.uuid4().hex, Deadline.after(deadline_s), time.monotonic())

    @property
    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started_s) * 1e3


def create_app(moderator: Moderator, authenticator: Authenticator, settings: Settings) -> FastAPI:
    """The application over one moderator."""
    app = FastAPI(
        title="Pictwarden",
        description="Looks at every picture before an image server keeps it.",
        # pict-rs follows redirects, and a redirect would repeat the secret in its Location.
        redirect_slashes=False,
    )
    _add_error_answers(app)

    async def answer_scan(request: Request, secret: str) -> Response:
        arrival = _Arrival.now(settings.deadline_s)
        try:
            client_host = request.client.host if request.client else None
            authenticator.require(secret, request.headers.get("authorization"), client_host)
            lane = _lane(request.headers.get(LANE_HEADER))
            refused = refused_before(request.headers)
            if refused:
                logger.info("%d requests before %s were refused by the front end", refused, arrival.request_id)
            moderator.require_room(refused)
            body = await read_body(request, settings.limits.max_body_bytes, arrival.deadline)
        except (RequestError, UnscannedError) as error:
            status, answer = answer_for_error(error, arrival.request_id, arrival.elapsed_ms)
            logger.info("request %s answered %d %s", arrival.request_id, status, answer.reason)
            response = _response(status, answer, settings.retry_after_s)
            if isinstance(error, OverloadedError):
                response.headers[FULL_FOR_HEADER] = str(round(moderator.full_for_s * 1e3))
            else:
                # The rest of the body is not read: it may have no end. One that was refused for our sake is read, and
                # the connection used again, since under overload a connection for each request would be more of it.
                response.headers["Connection"] = "close"
            return response
        decision = await moderator.moderate(body, arrival.request_id, arrival.deadline, lane)
        status, answer = answer_for_decision(decision, arrival.elapsed_ms)
        return _response(status, answer, settings.retry_after_s)

    async def scan_by_path(request: Request, secret: str) -> Response:
        return await answer_scan(request, secret)

    # Its own function: one with an optional argument would take the secret from the query too, where proxies log it.
    async def scan(request: Request) -> Response:
        return await answer_scan(request, "")

    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": Answer, "description": text} for status, text in _STATUS_TEXTS.items()
    }
    lane_header = {
        "name": LANE_HEADER,
        "in": "header",
        "schema": {"enum": list(Lane), "default": Lane.LIVE},
        "description": "background: work that can be done later, and never delays an upload",
    }
    scan_body = {
        "parameters": [lane_header],
        "requestBody": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
    }
    for path, endpoint in ((f"{SCAN_PATH}/{{secret}}", scan_by_path), (SCAN_PATH, scan)):
        app.post(
            path,
            summary="Look at a picture",
            response_model=Answer,
            responses=documented,
            openapi_extra=scan_body,
            operation_id=endpoint.__name__,
        )(endpoint)

    @app.get("/healthz", summary="The process answers")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz", summary="A scorer has warmed up", response_model=Answer, responses={503: {"model": Answer}})
    async def readyz() -> Response:
        arrival = _Arrival.now(_READY_WAIT_S)
        try:
            identity = await moderator.ready(arrival.deadline)
        except NotScannedError as error:
            status, answer = 503, bare_answer("unavailable", str(error), arrival.request_id, arrival.elapsed_ms)
        except ConfigurationError:
            logger.exception("the model does not fit the policy")
            message = "the loaded model is not the policy's; the log says more"
            status, answer = 503, bare_answer("unavailable", message, arrival.request_id, arrival.elapsed_ms)
        else:
            ready = bare_answer("ready", "a scorer is warm", arrival.request_id, arrival.elapsed_ms)
            told = {"model": str(identity), "policy": str(moderator.policy), "notice": identity.notice}
            status, answer = 200, ready.model_copy(update=told)
        return _response(status, answer, settings.retry_after_s)

    return app


def _lane(told: str | None) -> Lane:
    try:
        return Lane(told.strip().lower()) if told else Lane.LIVE
    except ValueError:
        raise MalformedRequestError(f"{LANE_HEADER} is {' or '.join(Lane)}") from None


def _response(status: int, answer: Answer, retry_after_s: int) -> Response:
    headers = {"X-Request-ID": answer.request_id}
    if status == 503:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="pictwarden"'
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")


def _add_error_answers(app: FastAPI) -> None:
    """The same JSON shape for what never reaches a route, and for our own faults, which are never explained."""

    async def on_http_error(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
        message = f"pictures are POSTed to {SCAN_PATH}/SECRET"
        response = _response(status, bare_answer(reason, message, uuid.uuid4().hex, 0.0), 0)
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update(error.headers)
        return response

    async def on_fault(_: Request, error: Exception) -> Response:
        request_id = uuid.uuid4().hex
        logger.error("request %s: internal fault", request_id, exc_info=error)
        message = "an internal fault; the log has it under this request_id"
        return _response(500, bare_answer("internal", message, request_id, 0.0), 0)

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_fault)
