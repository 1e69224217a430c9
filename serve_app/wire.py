"""The protocol, shared by the server, its front end, the client and the benchmarks.

Paths, headers, one JSON shape for every answer, and the only map from errors to status codes. pict-rs reads the status
alone (2xx stores the picture, anything else refuses it); the body is for people and for ``pictwarden check``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from serve_app.domain import (
    EmptyBodyError,
    MalformedRequestError,
    RequestError,
    UnauthorisedError,
    UnscannedReason,
    Verdict,
)

SCAN_PATH = "/api/v1/scan"
HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
WORKER_PATH = "/api/v1/worker"
POP_PATH = "/api/v1/pop"
"""Where workers of fedi-safety ask."""

WORKER_SECRETS_ENV = "PICTWARDEN_WORKER_SECRETS"
"""The secrets of workers, as ``NAME:SECRET``, separated by commas; the name is that of their owner."""

LANE_HEADER = "X-Pictwarden-Lane"
"""Of a request: its lane. pict-rs sends none, and is live."""

REQUEST_ID_HEADER = "X-Request-ID"
"""Of a response: the request's id in decisions and logs."""

FULL_FOR_HEADER = "X-Pictwarden-Full-For-Ms"
"""Of a refusal: the milliseconds for which the front end may refuse by itself."""

REFUSED_HEADER = "X-Pictwarden-Refused"
"""Of a request: how many pictures the front end has refused since the request before it."""

STATUS_REJECTED = 406

STATUS_BY_REASON: Mapping[UnscannedReason, int] = {
    UnscannedReason.UNDECODABLE: 422,
    UnscannedReason.TRUNCATED: 422,
    UnscannedReason.UNSUPPORTED: 415,
    UnscannedReason.TOO_LARGE: 413,
    UnscannedReason.DEADLINE: 503,
    UnscannedReason.OVERLOADED: 503,
    UnscannedReason.UNAVAILABLE: 503,
}
"""For pictures that are refused; one that is let through unscanned is answered 200."""

REQUEST_ERRORS: Mapping[type[RequestError], tuple[int, str]] = {
    EmptyBodyError: (400, "empty_body"),
    MalformedRequestError: (400, "malformed_request"),
    UnauthorisedError: (401, "unauthorised"),
}
"""Status, and the word for ``reason``."""

STATUS_TEXTS: Mapping[int, str] = {
    200: "store the picture: accepted, flagged, or unscanned while `on_unscanned` is `accept`",
    400: "no body, or a multipart body without a `file` part",
    401: "no secret, or a wrong one; nothing of the body is kept",
    406: "rejected by the policy or by a list",
    413: "more bytes, pixels or frames than the limits allow",
    415: "an unsupported type",
    422: "cannot be decoded from end to end: `undecodable` or `truncated`",
    503: "unscanned: `deadline`, `overloaded` or `unavailable`; may be sent again",
}
"""The status table of the scan path, for people."""


class DecidingView(BaseModel):
    """The part of the picture that decided: a frame, and a box in shares of its width and height."""

    frame: int
    left: float
    top: float
    right: float
    bottom: float


class Answer(BaseModel):
    """The body of every answer. Fields are only added to."""

    verdict: Verdict | None = Field(description="accept, flag or reject; null when the picture was not scanned")
    reason: str = Field(
        description="policy, listed, why the picture was not scanned, or what is wrong with the request"
    )
    rule: str | None = Field(default=None, description="the rule of the policy that decided, if one held")
    message: str = Field(description="the same for people")
    request_id: str
    sha256: str | None = Field(default=None, description="of the body, if one was read in full")
    model: str | None = Field(default=None, description="name and digest of the model")
    policy: str | None = Field(default=None, description="name and digest of the policy")
    elapsed_ms: float = Field(description="from the first byte of the request to this answer")
    scores: dict[str, float | None] | None = Field(
        default=None, description="concept scores of the deciding view; null where one is unknown"
    )
    margin: float | None = Field(default=None, description="how far over the line of its rule; negative if under it")
    view: DecidingView | None = Field(default=None, description="the view that decided")
    views_seen: int | None = None
    frames_seen: int | None = None
    frames_total: int | None = None
    truncated: bool | None = Field(
        default=None, description="true when the end of the file was missing and only its first part was scanned"
    )
    notice: str | None = Field(default=None, description="set while a demo model scores too: its rules protect nobody")


def bare_answer(reason: str, message: str, request_id: str, elapsed_ms: float) -> Answer:
    """An answer about the request, not about a picture."""
    return Answer(verdict=None, reason=reason, message=message, request_id=request_id, elapsed_ms=round(elapsed_ms, 2))
