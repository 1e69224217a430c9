"""Faces are searched within a limit of cost, cut upright, and placed in their frame."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import FACE_SIZE_PX, Call, Deadline, LoadSignals, ModelError, ViewPlace
from serve_app.domain.limits import MediaLimits
from serve_app.media import faces, preprocess
from serve_app.media.faces import (
    MAX_FACES,
    MAX_SEARCHED_FRAMES,
    MAX_SEARCHED_PX,
    DlibDetector,
    Found,
    find_faces,
    searched_size,
)
from serve_app.media.workers import DecodeWorkers
from tests.unit.media.faces import drawn
from tests.unit.media.pictures import encode

Edges = tuple[float, float, float, float]


@dataclass
class StandIn:
    """Finds faces at given shares of whatever it is shown; a face's pixels are its number."""

    shares: Sequence[Edges]
    searched: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, pixels: NDArray[np.uint8]) -> Sequence[Found]:
        height_px, width_px, _ = pixels.shape
        self.searched.append((width_px, height_px))
        return [
            Found(left * width_px, top * height_px, right * width_px, bottom * height_px, partial(_numbered, number))
            for number, (left, top, right, bottom) in enumerate(self.shares)
        ]


def _numbered(number: int) -> NDArray[np.uint8]:
    return np.full((FACE_SIZE_PX, FACE_SIZE_PX, 3), number, np.uint8)


def numbers(found: Sequence[faces.Face]) -> list[int]:
    return [int(face.pixels[0, 0, 0]) for face in found]


@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(1, 64))
def test_no_frame_is_searched_beyond_the_limit(width_px: int, height_px: int, frames: int) -> None:
    across_px, down_px = searched_size(width_px, height_px, frames)
    most_px = MAX_SEARCHED_PX * min(1.0, MAX_SEARCHED_FRAMES / frames)
    assert across_px * down_px <= most_px or 1 in (across_px, down_px)
    assert 1 <= across_px <= 2 * width_px
    assert 1 <= down_px <= 2 * height_px


def test_a_small_frame_is_enlarged_and_a_large_one_reduced() -> None:
    stand_in = StandIn([])
    for size in ((200, 150), (1600, 1200)):
        find_faces(Image.new("RGB", size), stand_in)
    assert stand_in.searched == [(400, 300), (800, 600)]


def test_boxes_are_shares_of_the_frame_and_end_at_its_edges() -> None:
    stand_in = StandIn([(0.25, 0.5, 0.5, 0.75), (-0.5, 0.9, 0.1, 1.4)])
    found = find_faces(Image.new("RGB", (400, 300)), stand_in)
    assert [face.box for face in found] == [
        pytest.approx((0.0, 0.9, 0.1, 1.0)),
        pytest.approx((0.25, 0.5, 0.5, 0.75)),
    ]


def test_of_too_many_the_largest_are_cut() -> None:
    shares = [(0.0, 0.0, 0.01 * size, 0.01 * size) for size in range(1, MAX_FACES + 4)]
    found = find_faces(Image.new("RGB", (400, 300)), StandIn(shares))
    assert numbers(found) == list(range(MAX_FACES + 3))[:2:-1]


@pytest.mark.parametrize(("frames", "each"), [(1, 16), (4, 4), (16, 1), (64, 1)])
def test_every_frame_has_its_share(frames: int, each: int) -> None:
    stand_in = StandIn([(0.0, 0.0, 0.5, 0.5)] * 20)
    assert len(find_faces(Image.new("RGB", (400, 300)), stand_in, frames)) == each


def seen(body: bytes, detector: faces.Detector | None) -> tuple[NDArray[np.uint8], tuple[ViewPlace, ...]]:
    views = preprocess(body, 32, MediaLimits(), Deadline.after(60), detector=detector)
    assert len(views.places) == len(views.pixels), "the views are as they are without faces"
    return views.faces.pixels, views.faces.places


def test_faces_are_beside_the_views_with_their_frames() -> None:
    frames = [Image.new("RGB", (60, 40), (shade, 0, 0)) for shade in (0, 120, 240)]
    body = encode(frames[0], "image/gif", save_all=True, append_images=frames[1:], duration=100)
    pixels, places = seen(body, StandIn([(0.25, 0.25, 0.75, 0.75)]))
    assert pixels.shape == (3, FACE_SIZE_PX, FACE_SIZE_PX, 3)
    assert [place.frame for place in places] == [0, 1, 2]


@pytest.mark.parametrize("detector", [None, StandIn([])])
def test_where_there_is_none_there_are_no_faces(detector: faces.Detector | None) -> None:
    pixels, places = seen(encode(Image.new("RGB", (60, 40))), detector)
    assert (pixels.shape, places) == ((0, FACE_SIZE_PX, FACE_SIZE_PX, 3), ())


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five landmarks that know one drawn figure: the real ones are fetched, and not in this repository."""
    dlib = pytest.importorskip("dlib", reason="dlib is not installed: pip install dlib-bin")
    file = tmp_path_factory.mktemp("landmarks") / "five.dat"
    # The corners of the eyes on the right, of those on the left, and the nose, in a figure of radius 90 at (200, 200).
    points = dlib.points([dlib.point(*each) for each in ((245, 187), (217, 188), (155, 187), (183, 188), (200, 226))])
    figure = np.asarray(drawn(400, 400, [(200, 200)], 90))
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.tree_depth, options.num_trees_per_cascade_level = 2, 2, 5
    options.num_threads = 1
    shape = dlib.full_object_detection(dlib.rectangle(128, 145, 277, 294), points)
    dlib.train_shape_predictor([figure], [[shape]], options).save(str(file))
    return file


def test_dlib_finds_figures_that_look_like_faces(landmarks: Path) -> None:
    picture = drawn(800, 400, [(200, 200), (600, 220)], 90)
    found = sorted(find_faces(picture, DlibDetector(landmarks)), key=lambda face: face.box)
    assert len(found) == 2
    for face, (x, y) in zip(found, ((0.25, 0.5), (0.75, 0.55)), strict=True):
        left, top, right, bottom = face.box
        assert left < x < right
        assert top < y < bottom
        assert face.pixels.shape == (FACE_SIZE_PX, FACE_SIZE_PX, 3)
        # The middle of the cut is skin, and not the grey around the figure.
        red, _, blue = face.pixels[28:36, 20:44].reshape(-1, 3).mean(axis=0)
        assert red > blue + 30


def test_dlib_finds_nothing_where_there_is_nothing(landmarks: Path) -> None:
    detector = DlibDetector(landmarks)
    assert find_faces(Image.new("RGB", (400, 300), "grey"), detector) == []
    assert find_faces(Image.new("RGB", (1, 1)), detector) == []


def test_a_detector_reaches_another_process_as_a_file(landmarks: Path) -> None:
    sent = pickle.loads(pickle.dumps(DlibDetector(landmarks)))
    picture = drawn(400, 400, [(200, 200)], 90)
    (one,), (other,) = (find_faces(picture, each) for each in (DlibDetector(landmarks), sent))
    assert one.box == other.box
    np.testing.assert_array_equal(one.pixels, other.pixels)


async def test_a_decode_worker_cuts_faces_where_they_are_wanted(landmarks: Path) -> None:
    body = encode(drawn(400, 400, [(200, 200)], 90))
    call = Call("a request", Deadline.after(30))
    with DecodeWorkers(MediaLimits(), 1, detector=DlibDetector(landmarks)) as workers:
        views = await workers.preprocess(body, 32, call, LoadSignals(), with_faces=True)
        without = await workers.preprocess(body, 32, call, LoadSignals())
    assert (len(without.places), without.faces.places) == (len(views.places), ())
    (here,) = find_faces(drawn(400, 400, [(200, 200)], 90), DlibDetector(landmarks))
    assert views.faces.places == (ViewPlace(0, here.box),)
    np.testing.assert_array_equal(views.faces.pixels, here.pixels[np.newaxis])


@pytest.mark.parametrize("body", [b"", b"no landmarks"])
def test_another_file_is_an_error(landmarks: Path, tmp_path: Path, body: bytes) -> None:
    (tmp_path / "file.dat").write_bytes(body)
    with pytest.raises(ModelError, match=r"file\.dat holds no landmarks"):
        DlibDetector(tmp_path / "file.dat")


def test_without_dlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ModelError, match=r"pip install -e '\.\[age\]'"):
        DlibDetector(Path("landmarks.dat"))
