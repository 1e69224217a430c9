"""What a front and its workers say to each other.

A worker connects, since it may stand behind a router that lets nothing in. The front speaks first: what it
:class:`Wanted`. The worker answers :class:`Hello`, or :class:`Refused` with why it cannot; the front answers
:class:`Accepted` or :class:`Refused`. From then on the front sends :class:`Work`, and the worker answers each with
:class:`Scored` or :class:`Failed`, in any order. No clock of one side means anything to the other: what is sent is the
time that is left.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import Lane, ModelIdentity, OnTruncated, UnscannedReason, ViewPlace
from serve_app.domain.limits import MediaLimits

PROTOCOL = 1
"""Both sides speak the same number, or do not speak."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a worker that takes bodies decodes them, so that it sees what the front would.

    Attributes:
        media_version: :data:`serve_app.domain.limits.MEDIA_VERSION` of the front.
        limits: on media, within the deadline of a picture.
        truncated: the treatment of a picture whose end is missing, by lane.
    """

    media_version: int
    limits: MediaLimits
    truncated: Mapping[Lane, OnTruncated]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker of this front has to score: the first message of a connection.

    Attributes:
        protocol: :data:`PROTOCOL` of the front.
        version: of the front's Pictwarden, for people.
        model: ``model.source`` of the front, which a worker may replace by its own path to the same weights; None
            where the policy has classifiers alone.
        label_sets: the labels of each kind of picture; a kind is named by its place here.
        deadline_s: of a picture: a pass may take a share of it.
        heads: the content of the file of each head among the labels, by label.
        decoding: how bodies are decoded; None where the front sends views alone.
    """

    protocol: int
    version: str
    model: str | None
    label_sets: tuple[tuple[str, ...], ...]
    deadline_s: float
    heads: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    decoding: Decoding | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker has for one set of labels: its model, warm, and the seconds of a pass by batch size."""

    model: ModelIdentity
    pass_s: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker is; ``offers`` are in the order of the sets of labels.

    Attributes:
        protocol: :data:`PROTOCOL` of the worker.
        version: of the worker's Pictwarden, for people.
        name: that its owner gave it; the front makes it unique.
        device: that computes, for people.
        offers: for each set of labels.
        decoders: bodies that it decodes at once; 0 for a worker that takes views alone.
        process: drawn at its start: when it says Hello again, its former connection is dead, whatever the front knows.
    """

    protocol: int
    version: str
    name: str
    device: str
    offers: tuple[Offer, ...]
    decoders: int = 0
    process: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The worker is one of the front's from now on, under this name."""

    worker: str


class Refusal(enum.StrEnum):
    """Why a worker is not taken, or no longer."""

    PROTOCOL = "protocol"
    MODEL = "model"
    FULL = "full"
    REVOKED = "revoked"
    DISTRUSTED = "distrusted"
    STOPPING = "stopping"
    SUSPENDED = "suspended"

    @property
    def is_final(self) -> bool:
        """Whether the worker ends, since trying again changes nothing."""
        return self in (Refusal.PROTOCOL, Refusal.MODEL, Refusal.REVOKED, Refusal.DISTRUSTED)


@dataclass(frozen=True, slots=True)
class Refused:
    """The connection ends; ``message`` says why, and the way out, to the worker's owner."""

    reason: Refusal
    message: str


@dataclass(frozen=True, slots=True)
class Work:
    """The views of one picture, to be scored within ``remaining_s`` of their arrival.

    Attributes:
        number: of this work on its connection.
        label_set: the place of its set of labels in :attr:`Wanted.label_sets`.
        remaining_s: seconds.
        lane: that of the picture.
        pixels: uint8, ``(views, size_px, size_px, 3)``.
        faces: uint8, ``(faces, FACE_SIZE_PX, FACE_SIZE_PX, 3)``.
    """

    number: int
    label_set: int
    remaining_s: float
    lane: Lane
    pixels: NDArray[np.uint8] = field(repr=False)
    faces: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BodyWork:
    """The body of one picture, for a worker that decodes: answered with :class:`Examined` or :class:`Failed`.

    Attributes:
        number: as of :class:`Work`.
        label_set: as of :class:`Work`.
        remaining_s: seconds.
        lane: that of the picture.
        content: uint8, the bytes of the file.
    """

    number: int
    label_set: int
    remaining_s: float
    lane: Lane
    content: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one work: float32, ``(views + faces, labels)``.

    ``held_s`` is how long the worker had it, from its last byte to the scores: what is beyond it in the front's own
    measure was the link's.
    """

    number: int
    values: NDArray[np.float32] = field(repr=False)
    logit_scale: float
    held_s: float


@dataclass(frozen=True, slots=True)
class Examined:
    """The scores of one body, and all of its :class:`serve_app.domain.Views` but the pixels.

    ``values`` and ``held_s`` are as of :class:`Scored`. ``decoded_s`` is the part of it until the views were cut.
    ``readings`` are the frame and the quality of each fingerprint, ``hashes`` its hashes: uint8, ``(readings, 256)``.
    """

    number: int
    values: NDArray[np.float32] = field(repr=False)
    logit_scale: float
    held_s: float
    decoded_s: float
    places: tuple[ViewPlace, ...]
    faces: tuple[ViewPlace, ...]
    media_type: str
    frames_seen: int
    frames_total: int
    is_truncated: bool
    readings: tuple[tuple[int, int], ...]
    hashes: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """One work was not scored. ``message`` is for people."""

    number: int
    reason: UnscannedReason
    message: str
    held_s: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nobody waits for this work any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """The other side answers with a :class:`Pong` of the same number at once: a link that is slow or dead shows."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a :class:`Ping`."""

    number: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker takes no more work, and ends once what it has is answered."""


FromFront = Wanted | Accepted | Refused | Work | Cancelled | Ping | BodyWork
FromWorker = Hello | Refused | Scored | Failed | Pong | Leaving | Examined
Message = FromFront | FromWorker
