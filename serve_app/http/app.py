"""The FastAPI application: a drop-in for pictrs-safety's endpoint, and what an operator asks of a service."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serve_app.answer_log import AnswerLogger
from serve_app.domain import (
    LANE_HEADER,
    ConfigurationError,
    Lane,
    NotScannedError,
)
from serve_app.http.answers import Answer, bare_answer
from serve_app.http.guard import Guard
from serve_app.http.scanning import Arrival, Scanning, json_response
from serve_app.moderation import Moderator
from serve_app.settings import Settings

logger = AnswerLogger(__name__)

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


def create_app(moderator: Moderator, guard: Guard, settings: Settings) -> FastAPI:
    """The application over one moderator."""
    app = _bare_app(with_docs=settings.docs)
    _add_error_answers(app)

    scanning = Scanning(moderator, guard, settings)

    async def scan_by_path(request: Request, secret: str) -> Response:
        return await scanning.answer(request, secret)

    # Its own function: one with an optional argument would take the secret from the query too, where proxies log it.
    async def scan(request: Request) -> Response:
        return await scanning.answer(request, "")

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
        arrival = Arrival.now(_READY_WAIT_S)
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
        return json_response(status, answer, settings.retry_after_s)

    return app


def _bare_app(*, with_docs: bool) -> FastAPI:
    described: dict[str, Any] = {
        "title": "Pictwarden",
        "description": "Scans every picture before an image server stores it.",
        # pict-rs follows redirects, and a redirect would repeat the secret in its Location.
        "redirect_slashes": False,
    }
    if with_docs:
        # FastAPI's own page loads its scripts from a CDN, which would learn who runs this service.
        return FastAPIOffline(redoc_url=None, **described)
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None, **described)


def _add_error_answers(app: FastAPI) -> None:
    """The same JSON shape for what never reaches a route, and for our own faults, which are never explained."""

    async def on_http_error(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
        message = f"pictures are POSTed to {SCAN_PATH}/SECRET"
        response = json_response(status, bare_answer(reason, message, uuid.uuid4().hex, 0.0), 0)
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update(error.headers)
        return response

    async def on_fault(_: Request, error: Exception) -> Response:
        request_id = uuid.uuid4().hex
        logger.error("request %s: internal fault", request_id, exc_info=error)
        message = "an internal fault; the log has it under this request_id"
        return json_response(500, bare_answer("internal", message, request_id, 0.0), 0)

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_fault)
