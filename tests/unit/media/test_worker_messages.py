"""What a worker tells arrives whole, and the owner believes nothing that no worker in its right mind would tell."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import FACE_SIZE_PX, Faces, FrameFingerprint, TooLargeError, ViewPlace, Views
from serve_app.media.worker_messages import (
    ANSWERED,
    REPLY,
    pack_error,
    pack_replies,
    pack_views,
    unpack_error,
    unpack_replies,
    unpack_views,
)

SIZE_PX = 4
VIEWS = Views(
    pixels=np.arange(3 * SIZE_PX * SIZE_PX * 3, dtype=np.uint8).reshape(3, SIZE_PX, SIZE_PX, 3),
    places=tuple(ViewPlace(frame, (0.0, 0.25, 0.5, 1.0)) for frame in (0, 0, 7)),
    media_type="image/gif",
    frames_seen=2,
    frames_total=9,
    is_truncated=True,
    fingerprints=(FrameFingerprint(0, 100, bytes(range(256))), FrameFingerprint(7, 0, bytes(256))),
)
FACES = Faces(
    pixels=np.random.default_rng(1).integers(0, 256, (2, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8),
    places=(ViewPlace(0, (0.1, 0.2, 0.3, 0.4)), ViewPlace(7, (0.0, 0.0, 1.0, 1.0))),
)


def told(views: Views = VIEWS, **changed: object) -> Views:
    """The views that are unpacked after some of the head was changed."""
    _, head, pixels = pack_views(views)
    return unpack_views(memoryview(json.dumps(json.loads(head) | changed).encode()), pixels, SIZE_PX)


def test_views_arrive_as_they_were_sent() -> None:
    unpacked = told()
    assert (unpacked.pixels == VIEWS.pixels).all()
    for name in ("places", "media_type", "frames_seen", "frames_total", "is_truncated", "fingerprints"):
        assert getattr(unpacked, name) == getattr(VIEWS, name)


def test_faces_arrive_beside_them() -> None:
    unpacked = told(replace(VIEWS, faces=FACES))
    assert (unpacked.pixels == VIEWS.pixels).all()
    assert (unpacked.faces.pixels == FACES.pixels).all()
    assert unpacked.faces.places == FACES.places
    assert told().faces.places == ()


def replies_of(*packed: tuple[bytes, bytes, memoryview]) -> tuple[int, memoryview]:
    """How many replies a message announces, and the rest of it."""
    message = memoryview(b"".join(pack_replies(packed)))
    count, replies_bytes = ANSWERED.unpack_from(message)
    assert len(message) == ANSWERED.size + replies_bytes
    return count, message[ANSWERED.size :]


def test_replies_to_several_bodies_arrive_each_whole_and_in_order() -> None:
    count, replies = replies_of(pack_views(VIEWS), pack_error("TooLargeError", "too large"), pack_views(VIEWS))
    first, second, third = unpack_replies(replies, count)
    for head, pixels in (first, third):
        assert (unpack_views(head, pixels, SIZE_PX).pixels == VIEWS.pixels).all()
    error = unpack_error(second[0])
    assert error is not None
    assert (type(error[0]), str(error[0])) == (TooLargeError, "too large")


@given(st.binary(max_size=100), st.integers(1, 8))
def test_what_is_no_reply_is_not_believed(message: bytes, count: int) -> None:
    with contextlib.suppress(ValueError):
        replies = unpack_replies(memoryview(message), count)
        assert sum(REPLY.size + len(head) + len(pixels) for head, pixels in replies) == len(message)
        assert len(replies) == count


@pytest.mark.parametrize(("cut", "added", "more"), [(1, b"", 0), (0, b"x", 0), (0, b"", 1), (0, b"", -1)])
def test_no_reply_is_believed_that_is_cut_or_has_more_behind_it(cut: int, added: bytes, more: int) -> None:
    count, replies = replies_of(pack_error("TooLargeError", "too large"), pack_views(VIEWS))
    with pytest.raises(ValueError, match="repl"):
        unpack_replies(memoryview(bytes(replies[: len(replies) - cut]) + added), count + more)


@pytest.mark.parametrize("faces", [None, 7, [[0, 0, 0, 1]], [], [[0, 0, 0, 1, 1]], [[0, 0, 0, 1, 1]] * 3])
def test_no_faces_are_believed_that_were_not_sent(faces: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        told(replace(VIEWS, faces=FACES), faces=faces)


def test_more_faces_than_are_ever_cut_are_not_believed() -> None:
    many = Faces(np.zeros((17, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8), FACES.places[:1] * 17)
    with pytest.raises(ValueError, match="more faces"):
        told(replace(VIEWS, faces=many))


@pytest.mark.parametrize(
    "fingerprints",
    [
        None,
        7,
        [[0, 50]],
        [[0, 50, "00" * 256, 1]],
        [[0, 50, "00" * 255]],
        [[0, 50, "00" * 257]],
        [[0, 50, "0g" * 256]],
        [[0, 50, 0]],
        [[0, -1, "00" * 256]],
        [[0, 101, "00" * 256]],
        [["a", 50, "00" * 256]],
        [[0, None, "00" * 256]],
        [[0, 50, "00" * 256]] * 4,
    ],
)
def test_no_fingerprint_is_believed_that_cannot_be_one(fingerprints: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        told(fingerprints=fingerprints)
