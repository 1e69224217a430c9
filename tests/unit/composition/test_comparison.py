"""Two engines over pictures that are drawn here, through the real decoder and the policy of these tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from serve_app.composition.comparison import Difference, compare, outcomes, views_of
from serve_app.domain import ModelIdentity, PolicyError, Verdict
from serve_app.media import MediaLimits
from serve_app.models.fake import FakeEngine
from serve_app.models.passes import MOST_ITEMS_A_PASS
from serve_app.policy import Policy

LIMITS = MediaLimits()


class Off(FakeEngine):
    """A fake engine whose every cosine is off by as much."""

    def __init__(self, labels: tuple[str, ...], by: float) -> None:
        super().__init__(labels)
        self._by = by

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return super().encode(pixels) + np.float32(self._by)


@pytest.fixture
def pictures(tmp_path: Path, draw: Callable[..., bytes]) -> list[Path]:
    """Red 1.0, red 0.6, red 0 (white); and a file that is no picture, and one that is not there."""
    for name, colour in {"red.png": (255, 0, 0), "reddish.png": (255, 102, 102), "white.png": "white"}.items():
        (tmp_path / name).write_bytes(draw(colour))
    (tmp_path / "notes.txt").write_text("no picture", "ascii")
    return [*sorted(tmp_path.iterdir()), tmp_path / "gone.png"]


def test_an_engine_agrees_with_itself(pictures: list[Path], make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    told: list[None] = []
    one, other = FakeEngine(policy.labels), FakeEngine(policy.labels)
    same = compare(pictures, policy, one, other, LIMITS, lambda: told.append(None))
    assert (same.pictures, same.skipped, same.agreement, same.disagreements) == (3, 2, 1.0, ())
    assert len(told) == len(pictures)
    assert same.cosines == Difference(0.0, 0.0)
    assert set(same.concepts) == {"red", "green"}
    assert same.reference_s > 0
    assert same.candidate_s > 0


def test_what_is_judged_differently_is_listed_with_both_sides(
    pictures: list[Path], make_policy: Callable[..., Policy]
) -> None:
    policy = make_policy()
    comparison = compare(pictures, policy, FakeEngine(policy.labels), Off(policy.labels, -0.2), LIMITS)
    (only,) = comparison.disagreements
    assert comparison.agreement == pytest.approx(2 / 3)
    assert only.picture == "reddish.png"
    assert (only.reference.verdict, only.reference.rule) == (Verdict.REJECT, "no-red")
    assert (only.candidate.verdict, only.candidate.rule) == (Verdict.ACCEPT, None)
    assert only.reference.margin == pytest.approx(0.1, abs=0.01)
    assert only.candidate.margin == pytest.approx(-0.1, abs=0.01)
    assert comparison.cosines.largest == pytest.approx(0.2, abs=1e-6)
    assert comparison.concepts["red"].mean == pytest.approx(0.2, abs=1e-6)


def test_nothing_compared_is_no_agreement(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    comparison = compare([], policy, FakeEngine(policy.labels), FakeEngine(policy.labels), LIMITS)
    assert (comparison.pictures, comparison.agreement) == (0, 0.0)


def test_a_policy_for_another_model_is_refused(pictures: list[Path], make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    another = FakeEngine(policy.labels)
    another.identity = ModelIdentity("another", "1" * 64, 8)
    with pytest.raises(PolicyError, match="another"):
        compare(pictures, policy, FakeEngine(policy.labels), another, LIMITS)


def test_the_views_of_each_picture_begin_with_the_whole_of_it(pictures: list[Path]) -> None:
    views = [each[0] for each in views_of(pictures, 8, LIMITS)]
    assert [view.shape for view in views] == [(8, 8, 3)] * 3
    assert [tuple(view[0, 0]) for view in views] == [(255, 0, 0), (255, 102, 102), (255, 255, 255)]


def test_an_engine_says_a_verdict_for_each_picture_or_its_top_label(
    pictures: list[Path], make_policy: Callable[..., Policy]
) -> None:
    policy, views = make_policy(), list(views_of(pictures, 8, LIMITS))
    engine = FakeEngine(policy.labels)
    assert list(outcomes(engine, views * 5, policy)) == 5 * [Verdict.REJECT, Verdict.REJECT, Verdict.ACCEPT]
    two_labels = FakeEngine(("a green view", "a red view"))
    assert list(outcomes(two_labels, views, None)) == [1, 1, 0]
    engine.identity = ModelIdentity("another", "1" * 64, 8)
    with pytest.raises(PolicyError, match="another"):
        list(outcomes(engine, views, policy))


class Counting(FakeEngine):
    """A fake engine that remembers how many views each of its passes had."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        super().__init__(labels)
        self.passes: list[int] = []

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.passes.append(len(pixels))
        return super().encode(pixels)


def test_pictures_of_many_views_go_into_passes_of_a_bounded_size(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    red, white = ((255, 0, 0), (255, 255, 255))
    pictures = [np.full((60, 8, 8, 3), white, np.uint8) for _ in range(5)]
    pictures[2][59] = red
    engine = Counting(policy.labels)
    assert list(outcomes(engine, pictures, policy)) == [
        Verdict.REJECT if number == 2 else Verdict.ACCEPT for number in range(5)
    ]
    assert max(engine.passes) <= MOST_ITEMS_A_PASS
    assert sum(engine.passes) == 5 * 60


def test_the_frames_of_an_animation_go_into_passes_of_a_bounded_size(
    tmp_path: Path, make_policy: Callable[..., Policy]
) -> None:
    policy = make_policy()
    frames = [Image.new("RGB", (80, 40), (255 - number, 255, 255)) for number in range(16)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    reference, candidate = Counting(policy.labels), Counting(policy.labels)
    assert compare([tmp_path / "a.gif"], policy, reference, candidate, LIMITS).pictures == 1
    assert sum(reference.passes) > MOST_ITEMS_A_PASS
    assert max(reference.passes) <= MOST_ITEMS_A_PASS
