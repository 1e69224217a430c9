"""Views and faces in one pass: each engine sees its own kind, and what it did not see is unknown."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.composition import scoring
from serve_app.composition.decoding import decode_for, detector_for
from serve_app.domain import (
    FACE_SIZE_PX,
    Call,
    Deadline,
    Faces,
    LabelScores,
    LoadSignals,
    ModelError,
    UnavailableError,
    ViewPlace,
    Views,
)
from serve_app.media import preprocess
from serve_app.models.agreement import PolicyReference
from serve_app.models.ensemble import Part
from serve_app.models.factory import beside_classifiers
from serve_app.models.fake import FakeEngine
from serve_app.models.passes import MOST_ITEMS_A_PASS
from serve_app.models.with_faces import FacePixels, WithFaces, scores_of
from serve_app.settings import ModelSettings

LABELS = ("blue face", "red", "green")
WHOLE = (0.0, 0.0, 1.0, 1.0)


def of_colour(channel: int, size_px: int, count: int = 1) -> NDArray[np.uint8]:
    pixels = np.zeros((count, size_px, size_px, 3), np.uint8)
    pixels[..., channel] = 255
    return pixels


class FaceEngine(FakeEngine):
    """Knows how blue a face is, and insists on faces."""

    def __init__(self) -> None:
        super().__init__(LABELS[:1], FACE_SIZE_PX)

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert uploaded.shape[1:] == (FACE_SIZE_PX, FACE_SIZE_PX, 3)
        return super().encode(uploaded)


def with_faces(size_px: int = 8) -> WithFaces:
    views = Part(FakeEngine(LABELS[1:], size_px), LABELS[1:])
    return WithFaces(views, Part(FaceEngine(), LABELS[:1]), LABELS)


def picture(faces: int, size_px: int = FACE_SIZE_PX) -> Views:
    places = (ViewPlace(0, WHOLE),)
    of_faces = Faces(of_colour(2, FACE_SIZE_PX, faces), places * faces)
    return Views(of_colour(0, size_px), places, "image/png", 1, 1, faces=of_faces)


@pytest.mark.parametrize("size_px", [8, 64, 80])
def test_each_engine_scores_its_own_kind_in_its_own_size(size_px: int) -> None:
    engine = with_faces(size_px)
    view_px = engine.identity.image_size_px
    assert view_px == max(size_px, FACE_SIZE_PX)
    (red,), (blue,) = of_colour(0, view_px), of_colour(2, FACE_SIZE_PX)
    values = engine.encode(engine.upload([FacePixels(blue), red, FacePixels(blue)]))
    unknown = float("nan")
    expected = [(1.0, unknown, unknown), (unknown, 1.0, -0.5), (1.0, unknown, unknown)]
    np.testing.assert_allclose(values, np.array(expected), atol=1e-6)
    np.testing.assert_allclose(engine.encode(of_colour(1, view_px)), np.array([(unknown, -0.5, 1.0)]), atol=1e-6)


def test_faces_may_be_all_that_is_asked_for() -> None:
    engine = WithFaces(None, Part(FaceEngine(), LABELS[:1]), LABELS[:1])
    (view,), (blue,) = of_colour(0, FACE_SIZE_PX), of_colour(2, FACE_SIZE_PX)
    values = engine.encode(engine.upload([view, FacePixels(blue)]))
    np.testing.assert_allclose(values, np.array([(float("nan"),), (1.0,)]))
    np.testing.assert_allclose(engine.encode(of_colour(0, FACE_SIZE_PX)), np.array([(float("nan"),)]))


def test_a_pass_costs_what_its_dearer_kind_costs() -> None:
    slow = Part(FakeEngine(LABELS[1:], 8, pass_s=0.5), LABELS[1:])
    costs_s = WithFaces(slow, Part(FaceEngine(), LABELS[:1]), LABELS).warm_up(4, 1.0)
    assert costs_s == {1: 0.5, 2: 0.5, 4: 0.5}


@pytest.mark.parametrize(("faces", "expected"), [(0, np.nan), (3, 1.0)])
def test_a_picture_is_scored_as_its_views_are_judged(faces: int, expected: float) -> None:
    np.testing.assert_allclose(scores_of(with_faces(), picture(faces))[0].values, [[expected, 1, -0.5]], atol=1e-6)


def test_an_engine_of_views_is_asked_as_ever() -> None:
    np.testing.assert_allclose(scores_of(FakeEngine(LABELS[1:], 64), picture(0))[0].values, [[1, -0.5]], atol=1e-6)


def test_many_pictures_go_into_several_passes_and_each_has_its_own_scores() -> None:
    count = 3 * MOST_ITEMS_A_PASS // 2
    together = scores_of(with_faces(), *(picture(number % 2 * 3) for number in range(count)))
    assert [np.isnan(each.values[0, 0]) for each in together] == [number % 2 == 0 for number in range(count)]


async def scored(monkeypatch: pytest.MonkeyPatch, *pictures: Views) -> list[LabelScores]:
    """What the scorer of a service says of pictures that come together."""
    monkeypatch.setattr(scoring, "open_engines", lambda *_, **__: [with_faces()])
    scorers = scoring.EngineScorers(ModelSettings(source="fake"), [LABELS], PolicyReference("policy", "0" * 64), 8.0)
    scorer = scorers.of(LABELS)
    call = Call("a request", Deadline(time.monotonic() + 8.0))
    try:
        return await asyncio.gather(*(scorer.score(each, call, LoadSignals()) for each in pictures))
    finally:
        await scorers.close()


async def test_pictures_with_and_without_faces_share_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture(faces) for faces in (2, 0, 1)]
    together = await scored(monkeypatch, *pictures)
    assert [len(each.values) for each in together] == [3, 1, 2]
    settled = [each.of_views(views).values[0, 0] for each, views in zip(together, pictures, strict=True)]
    np.testing.assert_allclose(settled, [1, np.nan, 1])


async def test_faces_of_another_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Faces(of_colour(2, 32), (ViewPlace(0, WHOLE),))
    views = Views(of_colour(0, FACE_SIZE_PX), (ViewPlace(0, WHOLE),), "image/png", 1, 1, faces=wrong)
    with pytest.raises(UnavailableError, match="wrong faces"):
        await scored(monkeypatch, views)


def test_only_labels_of_faces_have_faces_searched(tmp_path: Path) -> None:
    assert decode_for(["a prompt", "open-nsfw/nsfw"], tmp_path) is preprocess
    assert detector_for(["a prompt", "open-nsfw/nsfw"], tmp_path) is None
    with pytest.raises(ModelError, match="run `pictwarden model fetch age`"):
        decode_for(["open-nsfw/nsfw", "age/minor"], tmp_path)


def test_the_age_that_is_not_fetched_is_told(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    with pytest.raises(ModelError, match="run `pictwarden model fetch age`"):
        beside_classifiers(None, ["age/minor"], "cpu", 1, tmp_path)
