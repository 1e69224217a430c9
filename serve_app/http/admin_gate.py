"""The gate in front of the admin API: authenticates every request, bounds its body and writes it into the audit."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.admin_api import ADMIN_PATH, MAX_BODY_BYTES, Problem
from serve_app.domain import UnauthorisedError
from serve_app.domain.storable_text import escaped, require_storable
from serve_app.http.failures import Failures
from serve_app.http.guard import Guard
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

Auditor = Callable[[str, str, dict[str, str | int]], Awaitable[None]]
"""Records an action: its actor, what it is, and details."""

_LEDGER_STATUS = f"GET {ADMIN_PATH}/ledger"
"""Answered also while no audit can be written: it tells of no picture, and is how an admin learns why."""


class AdminGate:
    """ASGI middleware: requests without an admin's secret are refused before anything of them is looked at.

    So is a path or a query that no database can store, which each route would have to refuse: the audit has it escaped.
    """

    def __init__(self, app: ASGIApp, guard: Guard, audit: Auditor, failures: Failures | None = None) -> None:
        """``audit`` records requests before they are served; if it raises, the request is answered 503."""
        self._app = app
        self._guard = guard
        self._audit = audit
        self._failures = failures or Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = await self._refusal(request)
        if response is not None:
            await response(scope, receive, send)
            return
        await self._app(scope, _bounded(request, receive), send)

    async def _refusal(self, request: Request) -> Response | None:
        try:
            actor = self._guard.require_admin(request.headers.get("authorization"))
        except UnauthorisedError as error:
            return self._unauthorised(request.client.host if request.client else "", str(error))
        request.state.actor = actor
        action = f"{request.method} {request.scope['path']}"
        detail: dict[str, str | int] = {escaped(name): escaped(text) for name, text in request.query_params.items()}
        try:
            await self._audit(actor, escaped(action), detail)
        except Exception:
            text = f"{action!a}: a request of {actor} could not be recorded in the audit"
            logger.exception("audit_failed", text, action=action, actor=actor)
            if action != _LEDGER_STATUS:
                told = "the ledger cannot be written: see its line in /readyz and in the log"
                return problem(503, "unavailable", told)
        for name, text in (("path", request.scope["path"]), *request.query_params.multi_items()):
            try:
                require_storable(name + text)
            except ValueError as error:
                return problem(422, "invalid", f"{name}: {error}")
        return None

    def _unauthorised(self, address: str, message: str) -> Response:
        """The answer to a wrong secret. A right one never waits: others may share the address, behind a proxy say."""
        wait_s = math.ceil(self._failures.wait_s(address))
        if wait_s > 0:
            return problem(
                429,
                "too_many_failures",
                f"too many wrong secrets: try again in {wait_s} s",
                {"Retry-After": str(wait_s), "Connection": "close"},
            )
        self._failures.count(address)
        text = f"an admin request from {address} had no right secret"
        logger.warning("admin_unauthorised", text, address=address)
        return problem(
            401,
            "unauthorised",
            message,
            {"WWW-Authenticate": 'Bearer realm="pictwarden"', "Connection": "close"},
        )


def problem(status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that is an error. ``message`` may repeat what a client sent, also what UTF-8 cannot write."""
    told = Problem(reason=reason, message=message.encode("utf-8", "replace").decode())
    return Response(told.model_dump_json(), status, headers, media_type="application/json")


def _bounded(request: Request, receive: Receive) -> Receive:
    """``receive``, until the body is larger than the limit of its route (``request.state.max_body_bytes``)."""
    received_bytes = 0
    request.state.max_body_bytes = MAX_BODY_BYTES

    async def receive_bounded() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > request.state.max_body_bytes:
            raise HTTPException(
                413, f"the body is larger than {request.state.max_body_bytes} bytes", {"Connection": "close"}
            )
        return message

    return receive_bounded
