"""Turns decisions and errors into status codes and answers (:mod:`serve_app.wire`), and those into responses."""

from __future__ import annotations

from starlette.responses import Response

from serve_app.domain import Decision, Judged, Listed, RequestError, Unscanned, UnscannedError
from serve_app.wire import (
    REQUEST_ERRORS,
    REQUEST_ID_HEADER,
    STATUS_BY_REASON,
    STATUS_REJECTED,
    Answer,
    DecidingView,
    bare_answer,
)


def answer_for_decision(decision: Decision, elapsed_ms: float) -> tuple[int, Answer]:
    """The status and the body for a picture that was decided on."""
    match decision.outcome:
        case Judged():
            return _status(decision, STATUS_REJECTED), _judged(decision, decision.outcome, elapsed_ms)
        case Listed(verdict=verdict, message=message):
            listed = _about(decision, message, elapsed_ms)
            return _status(decision, STATUS_REJECTED), listed.model_copy(update={"verdict": verdict})
        case Unscanned(reason, detail):
            return _status(decision, STATUS_BY_REASON[reason]), _about(decision, detail, elapsed_ms)


def _status(decision: Decision, refused: int) -> int:
    return 200 if decision.kept else refused


def _judged(decision: Decision, outcome: Judged, elapsed_ms: float) -> Answer:
    judgement = outcome.judgement
    left, top, right, bottom = (round(share, 4) for share in outcome.place.box)
    return _about(decision, judgement.message, elapsed_ms).model_copy(
        update={
            "verdict": judgement.verdict,
            "rule": judgement.rule,
            "scores": {
                concept: None if score is None else round(score, 4) for concept, score in judgement.scores.items()
            },
            "margin": None if judgement.margin is None else round(judgement.margin, 4),
            "view": DecidingView(frame=outcome.place.frame, left=left, top=top, right=right, bottom=bottom),
            "views_seen": outcome.views_seen,
            "frames_seen": outcome.frames_seen,
            "frames_total": outcome.frames_total,
            "truncated": outcome.is_truncated or None,
        }
    )


def _about(decision: Decision, message: str, elapsed_ms: float) -> Answer:
    return Answer(
        verdict=None,
        reason=decision.reason,
        message=message,
        request_id=decision.request_id,
        sha256=decision.sha256,
        model=str(decision.model),
        policy=f"{decision.policy}@{decision.policy_digest[:12]}",
        elapsed_ms=round(elapsed_ms, 2),
        notice=decision.model.notice,
    )


def answer_for_error(error: RequestError | UnscannedError, request_id: str, elapsed_ms: float) -> tuple[int, Answer]:
    """The status and the body where no picture arrived whole."""
    match error:
        case RequestError():
            status, reason = REQUEST_ERRORS[type(error)]
        case UnscannedError():
            status, reason = STATUS_BY_REASON[error.reason], error.reason.value
    return status, bare_answer(reason, str(error), request_id, elapsed_ms)


def json_response(status: int, answer: Answer, retry_after_s: int) -> Response:
    """The response with ``answer`` and the headers of its status."""
    headers = {REQUEST_ID_HEADER: answer.request_id}
    if status == 503:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="pictwarden"'
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")
