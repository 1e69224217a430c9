"""What a worker's answer means for its picture: scores, or an error."""

from __future__ import annotations

from serve_app.domain import (
    DeadlineExceededError,
    LabelScores,
    ModelIdentity,
    NotScannedError,
    OverloadedError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
    UndecodableError,
    UnscannableError,
    UnscannedError,
    UnscannedReason,
    UnsupportedError,
)
from serve_app.remote.fleet.answers import flaw_of, flaw_of_views, views_told
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.messages import Examined, Failed, Scored

_ERRORS: dict[UnscannedReason, type[NotScannedError]] = {
    UnscannedReason.OVERLOADED: OverloadedError,
    UnscannedReason.DEADLINE: DeadlineExceededError,
}

# Of bodies alone: a worker that gets views has nothing to decode.
_UNSCANNABLE: dict[UnscannedReason, type[UnscannableError]] = {
    UnscannedReason.UNDECODABLE: UndecodableError,
    UnscannedReason.TRUNCATED: TruncatedError,
    UnscannedReason.UNSUPPORTED: UnsupportedError,
    UnscannedReason.TOO_LARGE: TooLargeError,
}


class ImpossibleAnswerError(Exception):
    """No honest worker gives this answer; the message says why."""


def outcome_of(
    message: Scored | Examined | Failed, picture: Picture, labels: tuple[str, ...], model: ModelIdentity, worker: str
) -> Answered | UnscannedError:
    """What ``worker`` says of ``picture``: an UnavailableError is a fault of its own.

    Args:
        message: of the worker.
        picture: that it was sent.
        labels: of the picture.
        model: of the worker, for these labels.
        worker: its name.

    Raises:
        ImpossibleAnswerError: the answer is no honest worker's.
    """
    if isinstance(message, Failed):
        error: type[UnscannedError] = _ERRORS.get(message.reason, UnavailableError)
        if picture.views is None:
            error = _UNSCANNABLE.get(message.reason, error)
        return error(f"worker {worker}: {message.message}")
    if isinstance(message, Examined) and picture.views is None:
        _require_none(flaw_of_views(message))
        views, decoded_s = views_told(message), message.decoded_s
    elif isinstance(message, Scored) and picture.views is not None:
        views, decoded_s = picture.views, 0.0
    else:
        raise ImpossibleAnswerError("it answered views as a body, or a body as views")
    _require_none(flaw_of(message, views, labels))
    return Answered(views, LabelScores(message.values, message.logit_scale, model, worker), decoded_s)


def _require_none(flaw: str | None) -> None:
    if flaw is not None:
        raise ImpossibleAnswerError(flaw)
