"""The admin API: an application of its own, for a listener of its own, behind its own gate."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serve_app.admin_api import ADMIN_PATH, Problem
from serve_app.domain import AuditEntry, UnavailableError
from serve_app.http.admin_gate import AdminGate, problem
from serve_app.http.guard import Guard
from serve_app.http.routes.admin import decisions, scores
from serve_app.ledger import OpenLedger

logger = logging.getLogger(__name__)

_REASONS = {404: "not_found", 405: "method_not_allowed", 409: "conflict", 413: "too_large", 422: "invalid"}


def create_admin_app(guard: Guard, ledger: OpenLedger) -> FastAPI:
    """The application; its paths are below :data:`~serve_app.admin_api.ADMIN_PATH`.

    Args:
        guard: whose admins may use it; ``/docs`` too.
        ledger: has the decisions, and the audit.
    """
    # FastAPI's own page of documentation loads scripts from a CDN.
    app = FastAPIOffline(
        title="Pictwarden's admin API",
        description="Decisions, lists and what is recorded. Every request needs `Authorization: Bearer SECRET`.",
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"model": Problem} for status in (401, 422, 429, 503)},
    )
    app.include_router(decisions.router(ledger, ledger), prefix=ADMIN_PATH)
    app.include_router(scores.router(ledger), prefix=ADMIN_PATH)
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

    async def on_unavailable(_: Request, error: Exception) -> Response:
        return problem(503, "unavailable", str(error))

    async def on_fault(request: Request, error: Exception) -> Response:
        logger.error("%s %s: internal fault", request.method, request.url.path, exc_info=error)
        return problem(500, "internal", "internal fault: see the log of the service")

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(UnavailableError, on_unavailable)
    app.add_exception_handler(Exception, on_fault)
