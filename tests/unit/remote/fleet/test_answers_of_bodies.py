"""What a worker says of a body: an honest answer passes, and nothing else that a stranger may send does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import FrameFingerprint, ViewPlace, Views
from serve_app.remote.fleet.answers import flaw_of, flaw_of_views, views_told
from serve_app.remote.frames import MOST_VIEWS
from serve_app.remote.messages import Examined
from serve_app.remote.trust.view_agreement import difference_of

WHOLE = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))
HASHES = np.arange(256, dtype=np.uint8).reshape(1, 256)
HONEST = Examined(
    *(1, np.zeros((2, 1), np.float32), 100.0, 0.5, 0.25, (WHOLE,), (WHOLE,)),
    *("image/png", 1, 1, False, ((0, 100),), HASHES),
)


def test_an_honest_answer_is_taken_as_it_is() -> None:
    assert flaw_of_views(HONEST) is None
    views = views_told(HONEST)
    assert flaw_of(HONEST, views, ("a view",)) is None
    assert views.places == views.faces.places == (WHOLE,)
    assert views.fingerprints == (FrameFingerprint(0, 100, HASHES.tobytes()),)
    assert not views.pixels.size


@pytest.mark.parametrize(
    "changed",
    [
        {"places": ()},
        {"places": (WHOLE,) * (MOST_VIEWS + 1)},
        {"faces": (WHOLE,) * (MOST_VIEWS + 1)},
        {"places": (ViewPlace(-1, WHOLE.box),)},
        {"places": (ViewPlace(2**40, WHOLE.box),)},
        {"hashes": HASHES[:, :255]},
        {"hashes": HASHES[:0]},
        {"readings": ((0, 100), (0, 100)), "hashes": np.zeros((2, 256), np.uint8)},
        {"readings": ((0, 101),)},
        {"readings": ((10**30, 100),)},
        {"frames_seen": 0},
        {"frames_total": 10**30},
        {"media_type": "image/" + "x" * 1000},
        {"media_type": "image/\x1b"},
        {"decoded_s": float("nan")},
        {"held_s": float("inf")},
    ],
    ids=" ".join,
)
def test_answers_that_no_honest_worker_gives_are_found(changed: dict[str, Any]) -> None:
    assert flaw_of_views(replace(HONEST, **changed)) is not None


@given(st.tuples(*[st.floats()] * 4))
def test_every_box_lies_inside_of_its_picture(box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    is_inside = 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert (flaw_of_views(replace(HONEST, places=(ViewPlace(0, box),))) is None) is is_inside


OWN = Views(HASHES, (WHOLE,), "image/png", 1, 1, fingerprints=(FrameFingerprint(0, 100, HASHES.tobytes()),))


def reading(quality: int, wrong_bits: int) -> tuple[FrameFingerprint]:
    wrong = int.from_bytes(OWN.fingerprints[0].pdq, "big") ^ ((1 << wrong_bits) - 1)
    return (FrameFingerprint(0, quality, wrong.to_bytes(32, "big") + OWN.fingerprints[0].hashes[32:]),)


@pytest.mark.parametrize(
    "changed",
    [
        {"media_type": "image/gif"},
        {"frames_seen": 2},
        {"frames_total": 2},
        {"is_truncated": True},
        {"places": (ViewPlace(0, (0.0, 0.0, 0.5, 1.0)),)},
        {"fingerprints": ()},
        {"fingerprints": reading(100, 32)},
        {"fingerprints": reading(0, 0)},
    ],
    ids=" ".join,
)
def test_a_lie_about_what_is_in_a_body_shows(changed: dict[str, Any]) -> None:
    assert difference_of(replace(OWN, **changed), OWN) is not None


@pytest.mark.parametrize("wrong_bits", [0, 31])
def test_the_same_picture_on_another_machine_is_no_lie(wrong_bits: int) -> None:
    assert difference_of(replace(OWN, fingerprints=reading(100, wrong_bits)), OWN) is None


def test_a_picture_without_structure_has_no_fingerprint_to_lie_about() -> None:
    own = replace(OWN, fingerprints=(FrameFingerprint(0, 20, bytes(256)),))
    assert difference_of(replace(OWN, fingerprints=reading(0, 255)), own) is None
