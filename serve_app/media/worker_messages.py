"""What a decode worker and its owner send each other.

An answer is :func:`pack_views` or :func:`pack_error`: JSON and raw pixels, and no pickle. A decoder that was taken over
by the bytes it read must not get code into the replica.
"""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Callable, Sequence

import numpy as np

from serve_app.domain import (
    DIHEDRAL_HASHES,
    FACE_SIZE_PX,
    PDQ_BYTES,
    Deadline,
    DeadlineExceededError,
    Faces,
    FrameFingerprint,
    OnTruncated,
    OverloadedError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
    UndecodableError,
    UnscannedError,
    UnsupportedError,
    ViewPlace,
    Views,
)
from serve_app.domain.limits import MediaLimits
from serve_app.media.faces import MAX_FACES, Detector
from serve_app.media.pdq import MAX_QUALITY

Decode = Callable[[bytes, int, MediaLimits, Deadline, OnTruncated, Detector | None], Views]
"""As :func:`serve_app.media.preprocess`; any function that a worker can import by its name."""

SETUP = struct.Struct("!I")
"""Bytes of the pickled setup that follows: the first thing a worker is sent.

``(Decode, MediaLimits, Detector | None, folders)``; the last ones stay within reach of the decoder.
"""
ORDER = struct.Struct("!BQ")
"""How many requests follow, and bytes of all their bodies, which follow these: the last one's behind the others."""
REQUEST = struct.Struct("!QId??")
"""Bytes of its body, size of a view in pixels, seconds left, whether to scan a cut file, and for faces."""
ANSWERED = struct.Struct("!BQ")
"""How many replies follow, in the order of the requests, and their bytes. Requests without a reply were not begun."""
REPLY = struct.Struct("!IQ")
"""Bytes of the head (JSON) that follows, then bytes of the pixels that follow it."""
GO_ON_S = 0.02
"""Seconds after which a worker begins no further body of an order: a picture that is more urgent may wait for it."""
GO_ON_BYTES = 4_000_000
"""Bytes of replies after which it begins none, since they are all in memory at once."""
MAX_HEAD_BYTES = 1_000_000
"""The longest head."""
READY, CONFINED = b".", b"c"
"""What a worker says once: that it can be asked, and whether it is confined (:mod:`serve_app.media.confinement`)."""
OUT_OF_TIME = signal.SIGPROF
"""What ends a worker that has computed for longer than it may."""

_ERRORS: dict[str, type[UnscannedError]] = {
    error.__name__: error
    for error in (
        UndecodableError,
        TruncatedError,
        UnsupportedError,
        TooLargeError,
        DeadlineExceededError,
        OverloadedError,
        UnavailableError,
    )
}


def pack_views(views: Views) -> tuple[bytes, bytes, memoryview]:
    """The parts of the message that :func:`unpack_views` reads."""
    head = {
        "places": [[place.frame, *place.box] for place in views.places],
        "media_type": views.media_type,
        "frames_seen": views.frames_seen,
        "frames_total": views.frames_total,
        "is_truncated": views.is_truncated,
        "fingerprints": [[each.frame, each.quality, each.hashes.hex()] for each in views.fingerprints],
        "faces": [[place.frame, *place.box] for place in views.faces.places],
    }
    pixels = np.ascontiguousarray(views.pixels).data.cast("B")
    if views.faces.places:
        # Behind the others, in one message.
        pixels = memoryview(b"".join((pixels, np.ascontiguousarray(views.faces.pixels).data)))
    return _pack(head, pixels)


def pack_error(name: str, message: str, cause: str = "") -> tuple[bytes, bytes, memoryview]:
    """The parts of the message of an error of the domain; ``cause`` is for the owner's log alone."""
    return _pack({"error": name, "message": message, "cause": cause}, memoryview(b""))


def pack_replies(replies: Sequence[tuple[bytes, bytes, memoryview]]) -> list[bytes | memoryview]:
    """The parts of the message that answers an order, of those of :func:`pack_views` and :func:`pack_error`."""
    parts = [part for reply in replies for part in reply]
    return [ANSWERED.pack(len(replies), sum(map(len, parts))), *parts]


def unpack_replies(replies: memoryview, count: int) -> list[tuple[memoryview, memoryview]]:
    """The head and the pixels of each of the replies behind ``ANSWERED``.

    Raises:
        ValueError: no worker in its right mind wrote this.
    """
    unpacked = []
    for _ in range(count):
        if len(replies) < REPLY.size:
            raise ValueError("a reply is missing")
        head_bytes, pixels_bytes = REPLY.unpack_from(replies)
        pixels_at = REPLY.size + head_bytes
        if head_bytes > MAX_HEAD_BYTES or pixels_at + pixels_bytes > len(replies):
            raise ValueError("a reply larger than all")
        unpacked.append((replies[REPLY.size : pixels_at], replies[pixels_at : pixels_at + pixels_bytes]))
        replies = replies[pixels_at + pixels_bytes :]
    if len(replies):
        raise ValueError("more than the replies")
    return unpacked


def unpack_error(head: memoryview) -> tuple[UnscannedError, str] | None:
    """The error that a head tells of with its cause, if it does.

    Raises:
        ValueError, KeyError: no worker in its right mind wrote this.
    """
    told = json.loads(bytes(head))
    return (_ERRORS[told["error"]](str(told["message"])), str(told["cause"])) if "error" in told else None


def unpack_views(head: memoryview, pixels: memoryview, view_size_px: int) -> Views:
    """What :func:`pack_views` packed.

    Raises:
        ValueError, KeyError: no worker in its right mind wrote this.
    """
    told = json.loads(bytes(head))
    places, face_places = _places(told["places"]), _places(told["faces"])
    if len(face_places) > max(MAX_FACES, len(places)):
        raise ValueError("more faces than are cut")
    faces_at = len(places) * view_size_px * view_size_px * 3
    faces = np.frombuffer(pixels[faces_at:], np.uint8).reshape(len(face_places), FACE_SIZE_PX, FACE_SIZE_PX, 3)
    return Views(
        pixels=np.frombuffer(pixels[:faces_at], np.uint8).reshape(len(places), view_size_px, view_size_px, 3),
        places=places,
        faces=Faces(faces, face_places),
        media_type=str(told["media_type"]),
        frames_seen=int(told["frames_seen"]),
        frames_total=int(told["frames_total"]),
        is_truncated=bool(told["is_truncated"]),
        fingerprints=_fingerprints(told["fingerprints"], len(places)),
    )


def _places(told: list[tuple[int, float, float, float, float]]) -> tuple[ViewPlace, ...]:
    return tuple(ViewPlace(frame, (left, top, right, bottom)) for frame, left, top, right, bottom in told)


def _fingerprints(told: list[tuple[int, int, str]], views: int) -> tuple[FrameFingerprint, ...]:
    """One for each reading, of which there are no more than ``views``: each reading has one at least."""
    fingerprints = tuple(
        FrameFingerprint(int(frame), int(quality), bytes.fromhex(text)) for frame, quality, text in told
    )
    if len(fingerprints) > views:
        raise ValueError("more fingerprints than views")
    for each in fingerprints:
        if len(each.hashes) != DIHEDRAL_HASHES * PDQ_BYTES or not 0 <= each.quality <= MAX_QUALITY:
            raise ValueError("no fingerprint")
    return fingerprints


def _pack(head: dict[str, object], pixels: memoryview) -> tuple[bytes, bytes, memoryview]:
    text = json.dumps(head).encode()
    return REPLY.pack(len(text), pixels.nbytes), text, pixels
