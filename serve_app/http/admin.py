"""The admin API: an application of its own, for a listener of its own, behind its own gate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serve_app.admin_api import ADMIN_PATH, Problem
from serve_app.administration.list_additions import Lister
from serve_app.administration.stored_pictures import Moderate, StoredPictures
from serve_app.administration.uploaders import Uploaders
from serve_app.domain import (
    AuditEntry,
    LemmyRefusedError,
    LemmyUnavailableError,
    ListingError,
    PictrsRefusedError,
    PictrsUnavailableError,
    PictureGoneError,
    PictwardenError,
    SettingsError,
    TooLargeError,
    UnavailableError,
)
from serve_app.domain.workers import WorkersView
from serve_app.http.admin_gate import AdminGate, problem
from serve_app.http.app import NO_TELEMETRY
from serve_app.http.guard import Guard
from serve_app.http.routes.admin import (
    decisions,
    forgetting,
    list_files,
    lists,
    pictures,
    purges,
    scores,
    uploaders,
    workers,
)
from serve_app.ledger import OpenLedger
from serve_app.lists.store import ListStore
from serve_app.logs import EventLogger
from serve_app.settings import Settings

logger = EventLogger(__name__)

_REASONS = {
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    422: "invalid",
    503: "unavailable",
}


_STATUSES: Mapping[type[PictwardenError], int] = {
    LemmyRefusedError: 409,
    LemmyUnavailableError: 503,
    ListingError: 409,
    PictrsRefusedError: 409,
    PictrsUnavailableError: 503,
    PictureGoneError: 404,
    SettingsError: 409,
    TooLargeError: 413,
    UnavailableError: 503,
}
"""Of the errors whose message is for the admin."""


def create_admin_app(
    guard: Guard,
    ledger: OpenLedger,
    store: ListStore,
    settings: Settings,
    moderate: Moderate,
    workers_view: WorkersView | None = None,
) -> FastAPI:
    """The application; its paths are below :data:`~serve_app.admin_api.ADMIN_PATH`.

    Args:
        guard: whose admins may use it; ``/docs`` too.
        ledger: has the decisions, and the audit.
        store: has the lists.
        settings: name pict-rs, Lemmy, and the limits of a body.
        moderate: decides about a picture that pict-rs has stored.
        workers_view: has the workers elsewhere; None where the models compute in the service.
    """
    # FastAPI's own page of documentation loads scripts from a CDN.
    app = FastAPIOffline(
        telemetry=NO_TELEMETRY,
        title="Pictwarden's admin API",
        description="Decisions, lists and what is recorded. Every request needs `Authorization: Bearer SECRET`.",
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"model": Problem} for status in (401, 409, 422, 429, 503)},
    )
    lister = Lister(ledger, store)
    for routes in (
        decisions.router(ledger, ledger),
        forgetting.router(ledger),
        scores.router(ledger),
        lists.router(store, lister, ledger),
        list_files.router(store),
        purges.router(ledger),
        pictures.router(store, StoredPictures(settings, ledger, lister, moderate)),
        uploaders.router(ledger, Uploaders(settings)),
        workers.router(workers_view),
    ):
        app.include_router(routes, prefix=ADMIN_PATH)
    _add_error_answers(app)

    async def audit(actor: str, action: str, detail: dict[str, str | int]) -> None:
        await ledger.audit(AuditEntry(datetime.now(UTC), actor, action, detail))

    app.add_middleware(AdminGate, guard=guard, audit=audit)
    return app


def _add_error_answers(app: FastAPI) -> None:
    """Answer every error in one shape; a fault of ours is never explained."""

    async def on_http_error(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        reason = _REASONS.get(error.status_code, "bad_request")
        return problem(error.status_code, reason, str(error.detail), dict(error.headers or {}))

    async def on_invalid(_: Request, error: Exception) -> Response:
        wrong = error.errors() if isinstance(error, RequestValidationError) else []
        lines = [
            f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg'].removeprefix('Value error, ')}" for each in wrong
        ]
        return problem(422, "invalid", "; ".join(line.removeprefix(": ") for line in lines))

    async def on_refusal(_: Request, error: Exception) -> Response:
        status = next(_STATUSES[each] for each in type(error).__mro__ if each in _STATUSES)
        return problem(status, _REASONS[status], str(error))

    async def on_departure(request: Request, _: Exception) -> Response:
        method, path = request.method, request.url.path
        logger.info("admin_client_left", f"{method} {path}: the client has left", method=method, path=path)
        return Response(status_code=400)  # to nobody

    async def on_fault(request: Request, error: Exception) -> Response:
        method, path = request.method, request.url.path
        text = f"{method} {path}: internal fault"
        logger.error("internal_fault", text, exc_info=error, method=method, path=path)
        return problem(500, "internal", "internal fault: see the log of the service")

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    for each in _STATUSES:
        app.add_exception_handler(each, on_refusal)
    app.add_exception_handler(ClientDisconnect, on_departure)
    app.add_exception_handler(Exception, on_fault)
