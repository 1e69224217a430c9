"""The request on whose behalf code runs, so that its log lines can name it, also those of libraries."""

from __future__ import annotations

from contextvars import ContextVar

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def of_request(request_id: str) -> None:
    """From now on, the calling task and the tasks that it starts work for this request."""
    _request_id.set(request_id)


def current_request_id() -> str | None:
    """That of the calling task; None outside a request, and in threads that an executor keeps."""
    return _request_id.get()
