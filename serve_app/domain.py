"""The words of Pictwarden as types, in the order the data flows (``docs/concepts.md`` tells them as prose).

    media -> frames -> views -> label scores -> rule -> verdict -> decision -> ledger

This module imports nothing of the rest of the application; everything else imports it.

Errors
------
::

    PictwardenError
    |-- UnscannedError                 we could not look; ``.reason`` says why. Never a verdict.
    |   |-- UnscannableError           these bytes can never be scanned: refused, whatever `on_unscanned` says
    |   |   |-- UndecodableError
    |   |   |-- TruncatedError
    |   |   |-- UnsupportedError
    |   |   `-- TooLargeError
    |   `-- NotScannedError            not now; `on_unscanned` decides, and the same bytes may be sent again
    |       |-- DeadlineExceededError
    |       |   `-- StalledError       refused also where `on_unscanned` is `accept`
    |       |-- OverloadedError
    |       `-- UnavailableError
    |           `-- DeviceMemoryError
    |-- RequestError                   the request itself is wrong; there was no picture to look at
    |   |-- EmptyBodyError
    |   |-- MalformedRequestError
    |   `-- UnauthorisedError
    `-- ConfigurationError             found at start; the service refuses to run
        |-- SettingsError
        |-- PolicyError
        `-- ModelError

Each takes one argument, its message, so that each survives pickling between two processes.
"""

from __future__ import annotations

import enum
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Clock = Callable[[], float]
"""Seconds on a clock that never goes back. Its zero means nothing, and differs from machine to machine."""


class Verdict(enum.StrEnum):
    """What a policy says of a picture that was looked at. ``FLAG`` keeps the picture and marks its decision."""

    ACCEPT = "accept"
    FLAG = "flag"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for accept, 1 for flag, 2 for reject: the worst view of a picture is the one with the highest."""
        return ("accept", "flag", "reject").index(self.value)

    @property
    def keeps_picture(self) -> bool:
        """Whether the image server may keep a picture with this verdict."""
        return self is not Verdict.REJECT


class UnscannedReason(enum.StrEnum):
    """Why we could not look. The first four hold for these bytes for ever, the others only for now."""

    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"


class Lane(enum.StrEnum):
    """Who waits for the answer: an uploader, who is served first, or work that can be done later.

    A picture in the background lane never delays a live one by more than the one pass, or the one decode, that is
    already running.
    """

    LIVE = "live"
    BACKGROUND = "background"


LANE_HEADER = "X-Pictwarden-Lane"
"""HTTP header that names the lane. pict-rs sends none, and is live."""


class OnUnscanned(enum.StrEnum):
    """What to answer for a picture that we could not look at *now* (setting ``on_unscanned``)."""

    REJECT = "reject"
    ACCEPT = "accept"


class OnTruncated(enum.StrEnum):
    """What to do with a picture whose end is missing (setting ``truncated``, for each lane).

    pict-rs now and then sends the first part of a file and stores all of it, so an accepted part proves nothing.
    """

    REFUSE = "refuse"
    SCAN = "scan"


class PictwardenError(Exception):
    """Base of every error that this project raises on purpose."""


class UnscannedError(PictwardenError):
    """We could not look at the picture. Caught by :mod:`serve_app.moderation`, which makes a decision of it."""

    reason: ClassVar[UnscannedReason]


class UnscannableError(UnscannedError):
    """These bytes can never be scanned; sending them again cannot help."""


class UndecodableError(UnscannableError):
    """The bytes say that they are a picture, and cannot be read as one from end to end."""

    reason = UnscannedReason.UNDECODABLE


class TruncatedError(UnscannableError):
    """The end of the file is missing. These bytes are refused for ever; the whole file is another body."""

    reason = UnscannedReason.TRUNCATED


class UnsupportedError(UnscannableError):
    """The bytes are of no type that we read."""

    reason = UnscannedReason.UNSUPPORTED


class TooLargeError(UnscannableError):
    """More bytes, pixels or frames than the limits allow."""

    reason = UnscannedReason.TOO_LARGE


class NotScannedError(UnscannedError):
    """We could have looked, and did not in time; the same bytes may be sent again."""


class DeadlineExceededError(NotScannedError):
    """A stage could not finish in what was left of the request's time."""

    reason = UnscannedReason.DEADLINE


class StalledError(DeadlineExceededError):
    """These bytes have twice kept their decoder waiting without computing: never let through unscanned."""


class OverloadedError(NotScannedError):
    """Refused at once, because the queue is longer than what is left of the request's time."""

    reason = UnscannedReason.OVERLOADED


class UnavailableError(NotScannedError):
    """A stage is not there: it died, it is starting, or it failed in a way that is our fault."""

    reason = UnscannedReason.UNAVAILABLE


class DeviceMemoryError(UnavailableError):
    """A pass does not fit into the device's memory; one with fewer views may."""


class RequestError(PictwardenError):
    """The request is wrong before there is any picture to look at."""


class EmptyBodyError(RequestError):
    """The request has no body."""


class MalformedRequestError(RequestError):
    """The request cannot be understood, for instance a multipart body without a ``file`` part."""


class UnauthorisedError(RequestError):
    """No secret, or a wrong one."""


class ConfigurationError(PictwardenError):
    """The service cannot run as it is configured. The message says what is wrong and the way out."""


class SettingsError(ConfigurationError):
    """The arguments of the application are wrong."""


class PolicyError(ConfigurationError):
    """The policy file is wrong, or belongs to another model."""


class ModelError(ConfigurationError):
    """The model cannot be found, downloaded or loaded."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment after which an answer is of no use, on this process's own clock.

    Between processes travels what is left (:meth:`remaining_s`), never the moment: clocks of two nodes never meet.
    """

    at_s: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    def remaining_s(self) -> float:
        """Seconds left; zero or negative when it has passed."""
        return self.at_s - self.clock()

    def require(self, stage: str) -> float:
        """Seconds left, more than zero.

        Raises:
            DeadlineExceededError: nothing is left for ``stage``.
        """
        remaining_s = self.remaining_s()
        if remaining_s <= 0:
            raise DeadlineExceededError(f"no time was left for {stage}")
        return remaining_s


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one picture, read in full, and their sha256 (hex)."""

    content: bytes = field(repr=False)
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Body:
        """For bytes that nobody has hashed while they arrived: 40 MB take 25 to 140 ms."""
        return cls(content, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class ViewPlace:
    """Where in the media a view was cut, so that a decision can say which part of the picture decided it.

    ``box`` is left, top, right, bottom as shares of the upright frame's width and height, each in 0..1.
    """

    frame: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Views:
    """What the model is shown of one picture.

    ``pixels`` is uint8, ``(views, size_px, size_px, 3)``, RGB, upright; ``places`` has one entry per view.
    ``is_truncated`` if the end of the file is missing, so that these are views of its first part.
    """

    pixels: NDArray[np.uint8]
    places: tuple[ViewPlace, ...]
    media_type: str
    frames_seen: int
    frames_total: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model looked. ``digest`` is the sha256 (hex) of its weights and configuration.

    ``notice`` is set for a model that must not be mistaken for protection, and is repeated in every answer.
    ``derived_from`` is set for a quantised model, which scores differently and so has a digest of its own: the digest
    of the model that it is made of, to which a policy's thresholds belong.
    """

    name: str
    digest: str
    image_size_px: int
    notice: str | None = None
    derived_from: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How much each view resembles each label (prompt) of the policy.

    ``cosines`` is float32, ``(views, labels)``, each in -1..1; the columns are in the order of ``Policy.labels``.
    ``logit_scale`` is the model's own inverse temperature: CLIP's probabilities are softmax(logit_scale * cosines)
    (Radford et al. 2021, arXiv:2103.00020, figure 3).
    """

    cosines: NDArray[np.float32]
    logit_scale: float
    model: ModelIdentity


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policy says of one picture, with what it takes to explain it.

    ``view`` indexes the deciding view; ``scores`` are that view's concept scores; ``margin`` is how far its score lies
    over the line of the rule that decided (under it, so negative, when no rule held).
    """

    verdict: Verdict
    rule: str | None
    message: str
    view: int
    scores: Mapping[str, float]
    margin: float | None


@dataclass(frozen=True, slots=True)
class Examination:
    """That a picture was looked at: how much of it, what the policy says, and which view decided.

    ``is_truncated`` if the end of the file was missing, and only its first part was scanned.
    """

    judgement: Judgement
    place: ViewPlace
    media_type: str
    views_seen: int
    frames_seen: int
    frames_total: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What we answered for one body of bytes, and why: immutable, recorded, and free of any picture content.

    ``outcome`` is an examination if we looked, the reason if we could not. ``kept`` is what the image server was told.
    """

    request_id: str
    decided_at: datetime
    sha256: str
    body_bytes: int
    outcome: Examination | UnscannedReason
    detail: str
    kept: bool
    model: ModelIdentity
    policy: str
    policy_digest: str
    elapsed_ms: float

    @property
    def is_pending(self) -> bool:
        """Whether the image server stored what was not scanned to its end, so that somebody has to scan it later."""
        is_whole = isinstance(self.outcome, Examination) and not self.outcome.is_truncated
        return self.kept and not is_whole


class Preprocessor(Protocol):
    """Bytes of media to views of the model's size."""

    async def preprocess(self, body: bytes, view_size_px: int, deadline: Deadline, lane: Lane = Lane.LIVE) -> Views:
        """Sniff, decode under limits, sample frames, cut square views of ``view_size_px``.

        Raises:
            UnscannedError: the bytes could not be read, or not in time.
        """
        ...


class Scorer(Protocol):
    """Views to label scores."""

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """Which model is loaded and warm.

        Raises:
            NotScannedError: none is, within the deadline.
        """
        ...

    async def score(self, views: Views, deadline: Deadline, lane: Lane = Lane.LIVE) -> LabelScores:
        """The similarity of every view to every label of the policy.

        Raises:
            NotScannedError: too late, too much, or not there.
        """
        ...


class Ledger(Protocol):
    """Decisions, kept."""

    async def record(self, decision: Decision) -> None:
        """Keep a decision; when this returns, it is kept."""
        ...

    async def find(self, sha256: str, model_digest: str, policy_digest: str) -> Decision | None:
        """The latest decision with a judgement on these bytes by this model and policy, if there is one."""
        ...
