"""The FastAPI application: the routes of each protocol over one moderator, and one shape for every error."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serve_app.http.answer_counting import AnswerCounting
from serve_app.http.answers import json_response
from serve_app.http.guard import Guard
from serve_app.http.intake import Intake
from serve_app.http.parts import PartsIntake
from serve_app.http.routes import health, misskey, scan
from serve_app.http.strangers import Strangers
from serve_app.logs import EventLogger, current_request_id
from serve_app.metrics import FrontMetrics
from serve_app.moderation import BodyMemory, Detector, Moderator
from serve_app.settings import Settings
from serve_app.settings.pictrs_safety import notices as pictrs_safety_notices
from serve_app.wire import SCAN_PATH, bare_answer

logger = EventLogger(__name__)


NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""For every application: FastAPI's own spans would have the path with the secret, and bodies."""

Beside = Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]
"""What runs beside the application, from its start to its end."""


def create_app(
    moderator: Moderator,
    guard: Guard,
    settings: Settings,
    beside: Beside | None = None,
    detector: Detector | None = None,
    metrics: FrontMetrics | None = None,
    *,
    has_front_end: bool = False,
) -> FastAPI:
    """The application: every protocol's routes over one moderator.

    Misskey's routes exist where there are a ``detector`` and a secret for it. ``metrics`` count the answers.
    ``has_front_end``: as for :class:`~serve_app.http.intake.Intake`.
    """
    for notice in pictrs_safety_notices(settings):
        logger.warning("pictrs_safety_variable", notice)
    app = _bare_app(with_docs=settings.docs, beside=beside)
    _add_error_answers(app)
    if metrics is not None:
        app.add_middleware(AnswerCounting, answers=metrics.answers)
    memory = BodyMemory(settings.limits.max_inside_bytes, has_sources=bool(settings.sources))
    intake = Intake(moderator, guard, settings.limits, memory, has_front_end=has_front_end)
    strangers = Strangers()
    app.include_router(scan.router(moderator, intake, settings, strangers))
    app.include_router(health.router(moderator, guard, settings, metrics))
    if detector is not None and guard.has_misskey:
        app.include_router(misskey.router(detector, PartsIntake(detector, guard, memory), settings, strangers))
    elif detector is not None:
        name = settings.authentication.misskey_secrets_env
        text = (
            f"misskey.classifier is set, but nobody can ask: set {name} in the environment of the service's processes"
        )
        logger.warning("misskey_without_secret", text, variable=name)
    return app


def _bare_app(*, with_docs: bool, beside: Beside | None) -> FastAPI:
    described: dict[str, Any] = {
        "lifespan": beside,
        "title": "Pictwarden",
        "description": "Scans every picture before an image server stores it.",
        # A redirect would repeat the secret in its Location header.
        "redirect_slashes": False,
        "telemetry": NO_TELEMETRY,
    }
    if with_docs:
        # FastAPI's own page loads scripts from a CDN, which would learn who runs this service.
        return FastAPIOffline(redoc_url=None, **described)
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None, **described)


def _add_error_answers(app: FastAPI) -> None:
    """Answer requests without a route, and our own faults, in the same JSON shape; a fault is never explained."""

    async def on_http_error(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
        message = f"send a picture with POST to {SCAN_PATH}/SECRET"
        response = json_response(status, bare_answer(reason, message, uuid.uuid4().hex, 0.0), 0)
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update(error.headers)
        return response

    async def on_fault(_: Request, error: Exception) -> Response:
        request_id = current_request_id() or uuid.uuid4().hex
        logger.error("internal_fault", "internal fault", exc_info=error, request_id=request_id)
        message = "internal fault: see the log under this request_id"
        return json_response(500, bare_answer("internal", message, request_id, 0.0), 0)

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_fault)
