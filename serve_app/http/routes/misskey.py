"""Misskey's detector API: several pictures in one multipart body, answered by the probabilities of five classes.

To Misskey, a part without predictions is a picture that is not sensitive, and so is every part of a request that is not
answered 2xx; only the latter shows in its log. So the parts of a request are let in together or not at all: if one of
them cannot be scanned in time, the request is answered 503, and the others make room. A request of which nothing could
be scanned for another reason is answered 503 too, and not with a list of failures.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    EmptyBodyError,
    FullError,
    MalformedRequestError,
    NotScannedError,
    OverloadedError,
    PictwardenError,
    RequestError,
    StalledError,
    TooLargeError,
    UnauthorisedError,
    UnavailableError,
    UnscannableError,
    UnscannedError,
    UnsupportedError,
)
from serve_app.http.arrival import UNANSWERED, Arrival
from serve_app.http.disconnect import unless_sender_leaves
from serve_app.http.parts import Part, PartsIntake
from serve_app.http.strangers import Strangers
from serve_app.logs import EventLogger, of_request
from serve_app.misskey_api import (
    DETECT_PATH,
    DETECTOR_HEALTH_PATH,
    MAX_PART_BYTES,
    OUTPUT_BY_CLASS,
    DetectedImages,
    DetectedPart,
    DetectorHealth,
    ErrorCode,
    FailedPart,
    FailedRequest,
    Failure,
    Prediction,
    Results,
    UnavailableReason,
)
from serve_app.moderation import Detection, Detector
from serve_app.settings import Settings
from serve_app.tracing import begin_request
from serve_app.wire import REQUEST_ID_HEADER

logger = EventLogger(__name__)

# Shorter than the second that load balancers commonly give a probe.
_READY_WAIT_S = 0.8

# A caller's id stands in a header and in log lines.
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

_TYPES_IN_WORDS = "PNG, JPEG, GIF, BMP"
_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/bmp"})

# The decoder decides of what type a part is. These spare it the decoding of a video for nothing; an import of the list
# that it has itself would bring Pillow into the ingress.
_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")

CODES: Mapping[type[PictwardenError], ErrorCode] = {
    UnauthorisedError: ErrorCode.AUTHENTICATION_REQUIRED,
    RequestError: ErrorCode.INVALID_REQUEST,
    UnsupportedError: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    TooLargeError: ErrorCode.REQUEST_TOO_LARGE,
    UnscannableError: ErrorCode.IMAGE_DECODE_FAILED,
    UnavailableError: ErrorCode.MODEL_UNAVAILABLE,
    NotScannedError: ErrorCode.DETECTION_FAILED,
}
"""Of a request, and of a part of one. The nearest class of an error counts."""

STATUSES: Mapping[ErrorCode, int] = {
    ErrorCode.AUTHENTICATION_REQUIRED: 401,
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.REQUEST_TOO_LARGE: 413,
    ErrorCode.IMAGE_DECODE_FAILED: 422,
    ErrorCode.MODEL_UNAVAILABLE: 503,
    ErrorCode.DETECTION_FAILED: 500,
}
"""Of a request, as in the contract."""

_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": FailedRequest} for status in (400, 401, 413, 415, 500, 503)
}
_OPENAPI: dict[str, Any] = {
    "parameters": [{"name": REQUEST_ID_HEADER, "in": "header", "schema": {"type": "string"}, "description": "echoed"}],
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}
            }
        }
    },
}


def router(detector: Detector, intake: PartsIntake, settings: Settings, strangers: Strangers) -> APIRouter:
    """The two paths of the API."""
    routes = APIRouter()

    @routes.post(
        DETECT_PATH,
        summary="Misskey: the probabilities of five classes for each picture",
        response_model=DetectedImages,
        responses=_RESPONSES,
        openapi_extra=_OPENAPI,
    )
    async def detect_images(request: Request) -> Response:
        """As docs/api-detect-images.md of misskey-dev/sensitive-detector says. A response in time, whatever happens."""
        arrival = Arrival.now(settings.deadline_s, begin_request("detect", request.headers))
        of_request(arrival.request_id)
        told_id = _usable_id(request.headers.get(REQUEST_ID_HEADER))
        with arrival.traced():
            response, summary = await answer(request, arrival)
        status, elapsed_ms = response.status_code, round(arrival.elapsed_ms, 1)
        is_strangers = status == STATUSES[ErrorCode.AUTHENTICATION_REQUIRED]
        if not is_strangers or strangers.has_line():
            # Nothing of a picture, nor what was found in it.
            told = f" {REQUEST_ID_HEADER}={told_id}" if told_id else ""
            logger.info(
                "detection_answered",
                f"detection answered {status}: {summary} ms={elapsed_ms}{told}",
                request_id=arrival.request_id,
                status=status,
                summary=summary,
                elapsed_ms=elapsed_ms,
                caller_request_id=told_id,
            )
        if not is_strangers:
            arrival.answered(status, "detected" if status == 200 else "not_detected")
        response.headers[REQUEST_ID_HEADER] = told_id or arrival.request_id
        if status == 503:
            response.headers["Retry-After"] = str(settings.retry_after_s)
        return response

    async def answer(request: Request, arrival: Arrival) -> tuple[Response, str]:
        """The response, and what it says in a few words."""
        call = Call(arrival.request_id, arrival.deadline, traceparent=arrival.span.traceparent)
        try:
            async with intake.parts(request, call) as parts:
                try:
                    outcomes = await unless_sender_leaves(request, _detected(detector, parts, call))
                except (OverloadedError, DeadlineExceededError) as error:
                    saturated = UnavailableReason.INFERENCE_SATURATED
                    return _failed(ErrorCode.MODEL_UNAVAILABLE, str(error), saturated), str(error)
        except (RequestError, UnscannedError) as error:
            response = _refused(error)
            # Under overload a new connection costs more than the rest of a body. Any other body may have no end; and
            # one that waits for `100 Continue` may never come.
            if not isinstance(error, FullError) or "expect" in request.headers:
                response.headers["Connection"] = "close"
            return response, str(error)
        except ClientDisconnect:
            return Response(status_code=UNANSWERED), "the sender left before the answer"
        except Exception:
            logger.exception("internal_fault", "internal fault", request_id=arrival.request_id)
            return _failed(ErrorCode.DETECTION_FAILED, "internal fault: see the log"), "an internal fault"
        return _answered(outcomes), _summary(outcomes)

    @routes.get(
        DETECTOR_HEALTH_PATH,
        summary="Misskey: pictures can be looked at",
        response_model=DetectorHealth,
        responses={503: {"model": DetectorHealth}},
    )
    async def health() -> Response:
        reason = None
        if detector.is_full:
            reason = UnavailableReason.INFERENCE_SATURATED
        else:
            try:
                await detector.ready(Deadline.after(_READY_WAIT_S))
            except NotScannedError:
                reason = UnavailableReason.MODEL_UNAVAILABLE
        told = DetectorHealth(status="ok" if reason is None else "unavailable", reason=reason)
        return _json(200 if reason is None else 503, told)

    return routes


Outcome = Detection | RequestError | UnscannedError


async def _detected(detector: Detector, parts: Sequence[Part], call: Call) -> list[Outcome]:
    """The outcome of each part, in their order; all are looked at together.

    Raises:
        OverloadedError: there was no room for one of them.
        DeadlineExceededError: one of them could not be scanned in time.
    """
    try:
        async with asyncio.TaskGroup() as looking:
            tasks = [looking.create_task(_detected_part(detector, part, call)) for part in parts]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def _detected_part(detector: Detector, part: Part, call: Call) -> Outcome:
    """The outcome of one part.

    Raises:
        OverloadedError: there was no room for it.
        DeadlineExceededError: it could not be scanned in time, and that is not known to be a fault of its bytes.
    """
    try:
        _require_picture(part)
        detection = await detector.detect(Body.of(part.content), call)
        _require_wanted(detection.media_type)
    except (RequestError, UnscannableError, StalledError, UnavailableError) as error:
        return error
    return detection


def _require_picture(part: Part) -> None:
    """Refuse a part without decoding it, in the order of the contract.

    Raises:
        RequestError: it is no file, or an empty one.
        UnscannableError: it has too many bytes, or is none of the four types.
    """
    if not part.head.is_file:
        raise MalformedRequestError("the part is not a file")
    _require_wanted(part.head.media_type or "(none)")
    if not part.received_bytes:
        raise EmptyBodyError("the part is empty")
    if part.is_too_large:
        raise TooLargeError(f"the part is longer than {MAX_PART_BYTES} bytes, the limit")
    if not part.content.startswith(_HEADS):
        _require_wanted("(by its first bytes)")


def _require_wanted(media_type: str) -> None:
    if media_type not in _TYPES:
        raise UnsupportedError(f"unsupported type {media_type}; supported: {_TYPES_IN_WORDS}")


def _answered(outcomes: Sequence[Outcome]) -> Response:
    scanned = [each for each in outcomes if not isinstance(each, RequestError | UnscannableError)]
    failed = [each for each in scanned if isinstance(each, NotScannedError)]
    if failed and len(failed) == len(scanned):
        is_without_model = any(isinstance(each, UnavailableError) for each in failed)
        reason = UnavailableReason.MODEL_UNAVAILABLE if is_without_model else UnavailableReason.INFERENCE_SATURATED
        return _failed(ErrorCode.MODEL_UNAVAILABLE, str(failed[0]), reason)
    return _json(200, DetectedImages(result=Results(results=[_part(each) for each in outcomes])))


def _part(outcome: Outcome) -> DetectedPart | FailedPart:
    if not isinstance(outcome, Detection):
        return FailedPart(error=Failure(code=_code(outcome), message=str(outcome)))
    predictions = [
        Prediction(class_name=each, probability=probability)
        for each, probability in zip(OUTPUT_BY_CLASS, outcome.probabilities, strict=True)
    ]
    return DetectedPart(predictions=sorted(predictions, key=lambda each: -each.probability))


def _refused(error: RequestError | UnscannedError) -> Response:
    """The answer to a request whose parts were not read."""
    match error:
        case UnavailableError() | DeadlineExceededError():
            return _failed(ErrorCode.MODEL_UNAVAILABLE, str(error))
        case OverloadedError():
            return _failed(ErrorCode.MODEL_UNAVAILABLE, str(error), UnavailableReason.INFERENCE_SATURATED)
        case _:
            return _failed(_code(error), str(error))


def _failed(code: ErrorCode, message: str, reason: UnavailableReason | None = None) -> Response:
    response = _json(STATUSES[code], FailedRequest(error=Failure(code=code, message=message), reason=reason))
    if code is ErrorCode.AUTHENTICATION_REQUIRED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="pictwarden"'
    return response


def _code(error: PictwardenError) -> ErrorCode:
    return next(CODES[each] for each in type(error).__mro__ if each in CODES)


def _json(status: int, answer: BaseModel) -> Response:
    text = answer.model_dump_json(by_alias=True, exclude_none=True)
    return Response(text, status, media_type="application/json")


def _usable_id(told: str | None) -> str | None:
    return told if told is not None and _USABLE_ID.fullmatch(told) else None


def _summary(outcomes: Sequence[Outcome]) -> str:
    codes = [_code(each) for each in outcomes if not isinstance(each, Detection)]
    failed = f" ({', '.join(codes)})" if codes else ""
    return f"{len(outcomes) - len(codes)} of {len(outcomes)} parts{failed}"
