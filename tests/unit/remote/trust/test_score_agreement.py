"""Scores of the same views: those of honest engines of any precision agree, and others differ."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.domain import LabelScores, Lane, ModelIdentity
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engine, open_quantised
from serve_app.models.heads import Head
from serve_app.models.openvino.quantisation_views import QuantisationViews
from serve_app.remote.trust.probes import PictureShape, Probe
from serve_app.remote.trust.score_agreement import ENOUGH_VIEWS, Agreement, Evidence, is_constant
from tests.contract.test_engine import make_tiny_model

PROMPTS = ("a red shape", "a green shape", "a photograph with no shape", "a triangle", "a circle", "a star")
MIXED = (*PROMPTS, "open-nsfw/nsfw", "age/minor")
MODEL = ModelIdentity("small", "ab" * 32, 64)
VIEWS = 240
WINDOWS = 200

Values = NDArray[np.floating[Any]]


def scores(values: Values, logit_scale: float = 100.0) -> LabelScores:
    return LabelScores(values.astype(np.float32), logit_scale, MODEL)


def evidence(reference: Values, answer: Values, labels: Sequence[str] = PROMPTS) -> Evidence:
    made = Evidence(labels)
    for expected, values in zip(np.array_split(reference, 8), np.array_split(answer, 8), strict=True):
        made.add(scores(expected), scores(values))
    return made


@pytest.fixture(scope="module", params=["demo-shapes", "tiny"])
def by_precision(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Values]:
    """Scores of the same drawn views by every engine that computes on this machine's CPU."""
    folder = tmp_path_factory.mktemp(request.param)
    source = "embedded:demo-shapes" if request.param == "demo-shapes" else make_tiny_model(folder)
    engines = {
        each: open_engine(source, PROMPTS, device="cpu", precision=each, cpu_threads=1) for each in ("fp32", "bf16")
    }
    if request.param == "tiny":  # to quantise the demo model takes half a minute
        drawn = QuantisationViews.drawn()
        engines["int8"], _ = open_quantised(source, PROMPTS, lambda _: drawn, folder, 1, lambda *_: None)
    shape = PictureShape(0, VIEWS, 0, Lane.LIVE, 7.0)
    probe = Probe.fresh(random.Random(1), shape, engines["fp32"].identity.image_size_px)
    pixels = asyncio.run(probe.views()).pixels
    return {name: _encoded(engine, pixels) for name, engine in engines.items()}


def _encoded(engine: Engine, pixels: NDArray[np.uint8]) -> Values:
    return np.concatenate([engine.encode(part) for part in np.array_split(pixels, 10)])


def windows(seed: int = 1) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    return [rng.choice(VIEWS, ENOUGH_VIEWS, replace=False) for _ in range(WINDOWS)]


def test_every_pair_of_honest_engines_agrees(by_precision: dict[str, Values]) -> None:
    for reference in by_precision.values():
        for answer in by_precision.values():
            for rows in windows():
                assert evidence(reference[rows], answer[rows]).agreement is Agreement.AGREES


def test_engines_in_bf16_are_close_number_by_number(by_precision: dict[str, Values]) -> None:
    assert evidence(by_precision["fp32"], by_precision["bf16"]).is_close_enough


LIES: dict[str, Callable[[Values], Values]] = {
    "constant": lambda values: np.broadcast_to(values.mean(axis=0), values.shape),
    "zeros": np.zeros_like,
    "shuffled labels": lambda values: np.roll(values, 1, axis=1),
    "of another picture": lambda values: np.roll(values, 1, axis=0),
    "upside down": lambda values: -values,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_every_other_answer_differs(by_precision: dict[str, Values], lie: Callable[[Values], Values]) -> None:
    for values in by_precision.values():
        for rows in windows():
            made = evidence(by_precision["fp32"][rows], lie(values[rows]))
            assert made.agreement is Agreement.DIFFERS
            assert made.share > 0.7


def test_another_model_differs(by_precision: dict[str, Values]) -> None:
    rng = np.random.default_rng(1)
    values = by_precision["fp32"]
    other = rng.normal(values.mean(), values.std(), values.shape)
    assert all(evidence(values[rows], other[rows]).agreement is Agreement.DIFFERS for rows in windows())


def mixed(rng: np.random.Generator, views: int = ENOUGH_VIEWS) -> Values:
    values = np.hstack([rng.normal(0.2, 0.03, (views, len(PROMPTS))), rng.random((views, 2))])
    values[: views // 2, -1] = np.nan
    return values.astype(np.float32)


def test_unknown_scores_have_to_be_unknown_to_both() -> None:
    values = mixed(np.random.default_rng(1))
    assert evidence(values, values, MIXED).agreement is Agreement.AGREES
    guessed = np.nan_to_num(values, nan=0.5)
    for reference, answer in ((values, guessed), (guessed, values)):
        made = evidence(reference, answer, MIXED)
        assert made.agreement is Agreement.DIFFERS
        assert made.difference == "other scores are unknown"


def test_a_lie_about_one_classifier_is_not_lost_among_the_prompts() -> None:
    values = mixed(np.random.default_rng(1))
    for column in (-2, -1):
        lie = values.copy()
        lie[:, column] = np.where(np.isnan(lie[:, column]), np.nan, 0.02)
        assert evidence(values, lie, MIXED).agreement is Agreement.DIFFERS


HEAD = (f"head/spam@{'a' * 12}",)


def of_head(cosines: Values, scale: float) -> Values:
    return Head("m", "a" * 64, np.ones(1, np.float32), scale, -0.2 * scale, {}).probabilities(cosines)


@pytest.mark.parametrize("scale", [8.0, 140.0, 800.0])
def test_a_head_as_steep_as_any_is_compared_as_the_cosine_that_it_is_of(scale: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        cosines = rng.normal(0.2, 0.03, (ENOUGH_VIEWS, 1)).astype(np.float32)
        rounded = cosines + rng.normal(0, 0.006, cosines.shape).astype(np.float32)
        assert evidence(of_head(cosines, scale), of_head(rounded, scale), HEAD).agreement is Agreement.AGREES
        # Of a flat head all scores are close.
        for lie in (rng.permutation(of_head(cosines, scale)), np.full_like(cosines, 0.02)):
            if scale > 100:
                assert evidence(of_head(cosines, scale), lie, HEAD).agreement is Agreement.DIFFERS


def test_a_lie_about_prompts_is_not_lost_among_probabilities() -> None:
    values = mixed(np.random.default_rng(1))
    lie = values.copy()
    lie[:, : len(PROMPTS)] = 0.2
    assert evidence(values, lie, MIXED).agreement is Agreement.DIFFERS


def test_few_views_that_are_not_close_decide_nothing() -> None:
    values = mixed(np.random.default_rng(1), 8)[:, : len(PROMPTS)]
    assert evidence(values, values[::-1]).agreement is Agreement.UNDECIDED
    assert evidence(values, values + np.float32(0.01)).agreement is Agreement.AGREES


def test_a_shape_or_a_logit_scale_decides_at_once() -> None:
    values = mixed(np.random.default_rng(1), 2)
    for answer in (scores(values[:1]), scores(values, 90.0)):
        made = Evidence(MIXED)
        made.add(scores(values), answer)
        assert made.agreement is Agreement.DIFFERS


def test_a_model_that_hardly_tells_views_apart_is_not_suspected() -> None:
    rng = np.random.default_rng(1)
    values = np.full((ENOUGH_VIEWS, len(PROMPTS)), 0.2) + rng.normal(0, 1e-4, (ENOUGH_VIEWS, len(PROMPTS)))
    assert evidence(values, values + rng.normal(0, 1e-3, values.shape)).agreement is Agreement.AGREES


def test_scores_that_are_all_alike_are_seen_without_a_reference() -> None:
    values = mixed(np.random.default_rng(1))
    assert not is_constant([scores(values[:4]), scores(values[4:])])
    assert is_constant([scores(np.repeat(values[-1:], 3, axis=0)), scores(values[-1:])])
    assert not is_constant([scores(values[-1:])])
