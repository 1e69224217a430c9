"""The detector API of Misskey, shared by the server, its front end and the benchmarks.

Misskey (after 2026.6.0) asks a service of its administrator's choice whether pictures are sensitive. The contract is
``docs/api-detect-images.md`` of misskey-dev/sensitive-detector; ``docs/misskey.md`` names the versions that were read.
Misskey decides by thresholds of its own: it is sent probabilities, and no verdict.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

MISSKEY_PATH: Final = "/misskey"
"""What an administrator of Misskey enters as the URL of the detector, behind the address of this service."""

DETECT_PATH: Final = f"{MISSKEY_PATH}/v1/detect-images"
DETECTOR_HEALTH_PATH: Final = f"{MISSKEY_PATH}/health"

MAX_PARTS: Final = 10
MAX_PART_BYTES: Final = 1_048_576
MAX_DETECT_BODY_BYTES: Final = 12 * 1_048_576
"""As the contract: ten parts, and room for what stands around them."""

OUTPUT_BY_CLASS: Final[Mapping[str, str]] = {
    "Drawing": "drawing",
    "Hentai": "hentai",
    "Neutral": "neutral",
    "Porn": "porn",
    "Sexy": "sexy",
}
"""The classes that Misskey knows, and the outputs of an nsfwjs classifier that are their probabilities."""

SEXUAL_CLASSES: Final = ("Hentai", "Porn", "Sexy")
"""The classes of which Misskey calls a picture sensitive when one is over its threshold."""


class ErrorCode(enum.StrEnum):
    """Why a request, or a part of it, has no predictions."""

    AUTHENTICATION_REQUIRED = "AUTHENTICATION_REQUIRED"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    IMAGE_DECODE_FAILED = "IMAGE_DECODE_FAILED"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    DETECTION_FAILED = "DETECTION_FAILED"


class UnavailableReason(enum.StrEnum):
    """Why nothing can be detected now."""

    MODEL_UNAVAILABLE = "model_unavailable"
    INFERENCE_SATURATED = "inference_saturated"


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Prediction(_Message):
    """The probability of a class, 0 to 1."""

    class_name: str
    probability: float


class Failure(_Message):
    """What went wrong; ``message`` is for people."""

    code: ErrorCode
    message: str


class DetectedPart(_Message):
    """A part that was looked at: the probabilities of all classes, largest first."""

    success: Literal[True] = True
    predictions: list[Prediction]


class FailedPart(_Message):
    """A part without predictions."""

    success: Literal[False] = False
    error: Failure


class Results(_Message):
    """One entry for each part of the request, in their order: Misskey drops all of a shorter list."""

    results: list[DetectedPart | FailedPart]


class DetectedImages(_Message):
    """The answer to a request that could be read."""

    success: Literal[True] = True
    result: Results


class FailedRequest(_Message):
    """The answer to any other request. ``reason`` is set where the same request may succeed later."""

    success: Literal[False] = False
    error: Failure
    reason: UnavailableReason | None = None


class DetectorHealth(_Message):
    """Whether parts can be looked at now, and else why not."""

    status: Literal["ok", "unavailable"]
    reason: UnavailableReason | None = None
