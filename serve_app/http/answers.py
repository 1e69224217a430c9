"""What goes over the wire: one JSON shape for every answer, and the only map from domain errors to status codes.

pict-rs looks at the status alone (2xx keeps the picture, anything else refuses it); the body is for people and for
``pictwarden check``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from serve_app.domain import (
    Decision,
    EmptyBodyError,
    Examination,
    MalformedRequestError,
    RequestError,
    UnauthorisedError,
    UnscannedError,
    UnscannedReason,
    Verdict,
)

STATUS_BY_REASON: Mapping[UnscannedReason, int] = {
    UnscannedReason.UNDECODABLE: 422,
    UnscannedReason.TRUNCATED: 422,
    UnscannedReason.UNSUPPORTED: 415,
    UnscannedReason.TOO_LARGE: 413,
    UnscannedReason.DEADLINE: 503,
    UnscannedReason.OVERLOADED: 503,
    UnscannedReason.UNAVAILABLE: 503,
}
"""For pictures that were not kept; one that is kept unscanned is answered with 200."""

REQUEST_ERRORS: Mapping[type[RequestError], tuple[int, str]] = {
    EmptyBodyError: (400, "empty_body"),
    MalformedRequestError: (400, "malformed_request"),
    UnauthorisedError: (401, "unauthorised"),
}
"""Status, and the word for ``reason``."""

_STATUS_REJECTED = 406


class DecidingView(BaseModel):
    """Which part of the picture decided: a frame, and a box in shares of its width and height."""

    frame: int
    left: float
    top: float
    right: float
    bottom: float


class Answer(BaseModel):
    """The body of every answer."""

    verdict: Verdict | None = Field(description="accept, flag or reject; null when the picture was not looked at")
    reason: str = Field(description="policy, or why the picture was not looked at, or what is wrong with the request")
    rule: str | None = Field(default=None, description="the rule of the policy that decided, if one held")
    message: str = Field(description="the same for people")
    request_id: str
    model: str | None = Field(default=None, description="name and digest of the model")
    policy: str | None = Field(default=None, description="name and digest of the policy")
    elapsed_ms: float = Field(description="from the first byte of the request to this answer")
    scores: dict[str, float] | None = Field(default=None, description="concept scores of the deciding view")
    margin: float | None = Field(default=None, description="how far over the line of its rule; negative if under it")
    view: DecidingView | None = Field(default=None, description="the view that decided")
    views_seen: int | None = None
    frames_seen: int | None = None
    frames_total: int | None = None
    truncated: bool | None = Field(
        default=None, description="true when the end of the file was missing and only its first part was scanned"
    )
    notice: str | None = Field(default=None, description="set while a demo model answers, which protects nobody")


def answer_for_decision(decision: Decision, elapsed_ms: float) -> tuple[int, Answer]:
    """Status and body for a picture."""
    about = Answer(
        verdict=None,
        reason="policy",
        message=decision.detail,
        request_id=decision.request_id,
        model=str(decision.model) if decision.model.digest else decision.model.name,
        policy=f"{decision.policy}@{decision.policy_digest[:12]}",
        elapsed_ms=round(elapsed_ms, 2),
        notice=decision.model.notice,
    )
    match decision.outcome:
        case Examination() as seen:
            left, top, right, bottom = (round(share, 4) for share in seen.place.box)
            margin = seen.judgement.margin
            return 200 if decision.kept else _STATUS_REJECTED, about.model_copy(
                update={
                    "verdict": seen.judgement.verdict,
                    "rule": seen.judgement.rule,
                    "scores": {concept: round(score, 4) for concept, score in seen.judgement.scores.items()},
                    "margin": None if margin is None else round(margin, 4),
                    "view": DecidingView(frame=seen.place.frame, left=left, top=top, right=right, bottom=bottom),
                    "views_seen": seen.views_seen,
                    "frames_seen": seen.frames_seen,
                    "frames_total": seen.frames_total,
                    "truncated": seen.is_truncated or None,
                }
            )
        case UnscannedReason() as reason:
            return 200 if decision.kept else STATUS_BY_REASON[reason], about.model_copy(update={"reason": reason.value})


def answer_for_error(error: RequestError | UnscannedError, request_id: str, elapsed_ms: float) -> tuple[int, Answer]:
    """Status and body where there was no whole body to decide on."""
    match error:
        case RequestError():
            status, reason = REQUEST_ERRORS[type(error)]
        case UnscannedError():
            status, reason = STATUS_BY_REASON[error.reason], error.reason.value
    return status, bare_answer(reason, str(error), request_id, elapsed_ms)


def bare_answer(reason: str, message: str, request_id: str, elapsed_ms: float) -> Answer:
    """An answer about the request, not about a picture."""
    return Answer(verdict=None, reason=reason, message=message, request_id=request_id, elapsed_ms=round(elapsed_ms, 2))
