"""What a worker tells arrives whole, and the owner believes nothing that no worker in its right mind would tell."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from serve_app.domain import FACE_SIZE_PX, Faces, FrameFingerprint, ViewPlace, Views
from serve_app.media.worker_messages import pack_views, unpack_views

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
