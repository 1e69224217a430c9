"""Several engines as one: columns, sizes, costs and identity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.domain import ModelError, ModelIdentity
from serve_app.models.ensemble import Ensemble, Part
from serve_app.models.factory import beside_classifiers, open_engine, open_engines
from serve_app.models.fake import FakeEngine


class SizedEngine(FakeEngine):
    """A fake engine with a name, passes of known cost, and a memory of what it saw."""

    def __init__(self, name: str, labels: tuple[str, ...], size_px: int, pass_s: Mapping[int, float]) -> None:
        super().__init__(labels, size_px)
        self.identity = ModelIdentity(name, name[0] * 64, size_px)
        self._costs_s = dict(pass_s)
        self.seen: list[NDArray[np.uint8]] = []

    def warm_up(self, max_batch_views: int, max_pass_s: float) -> dict[int, float]:
        return self._costs_s

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(uploaded)
        return super().encode(uploaded)


def ensemble_of(*, small_s: Mapping[int, float], large_s: Mapping[int, float]) -> tuple[Ensemble, list[SizedEngine]]:
    small = SizedEngine("small", ("red", "nothing"), 8, small_s)
    large = SizedEngine("large", ("green",), 16, large_s)
    parts = [Part(small, ("red", "nothing")), Part(large, ("green",))]
    return Ensemble(parts, ("green", "red", "nothing")), [small, large]


def red(count: int, size_px: int = 16) -> NDArray[np.uint8]:
    pixels = np.zeros((count, size_px, size_px, 3), np.uint8)
    pixels[..., 0] = 255
    return pixels


def test_columns_are_in_the_order_of_the_labels_and_views_in_each_models_size() -> None:
    ensemble, engines = ensemble_of(small_s={1: 0.1}, large_s={1: 0.1})
    assert ensemble.identity == ModelIdentity.together([engine.identity for engine in engines])
    assert ensemble.identity.image_size_px == 16
    for scores in (ensemble.encode(red(2)), ensemble.encode(ensemble.upload(list(red(2))))):
        np.testing.assert_allclose(scores, [[-0.5, 1.0, 0.0]] * 2, atol=1e-6)
    assert [[seen.shape[1] for seen in engine.seen] for engine in engines] == [[8, 8], [16, 16]]


def test_a_pass_costs_what_all_engines_cost_and_has_the_sizes_of_all() -> None:
    ensemble, _ = ensemble_of(small_s={1: 1.0, 2: 2.0, 4: 3.0, 8: 4.0}, large_s={1: 10.0, 2: 20.0, 4: 30.0})
    costs_s = ensemble.warm_up(8, max_pass_s=25.0)
    assert costs_s == pytest.approx({1: 11.0, 2: 22.0}, abs=1.0)


def test_one_view_is_always_possible() -> None:
    ensemble, _ = ensemble_of(small_s={1: 1.0}, large_s={1: 10.0, 2: 20.0})
    assert list(ensemble.warm_up(8, max_pass_s=0.5)) == [1]


def test_prompts_need_a_model() -> None:
    with pytest.raises(ModelError, match=r"set model\.source"):
        open_engine(None, ("a red view",))
    with pytest.raises(ModelError, match="without labels"):
        open_engine(None, ())


def test_one_engine_stays_itself() -> None:
    fake = FakeEngine(("a red view",))
    assert beside_classifiers(Part(fake, ("a red view",)), ("a red view",)) is fake


def test_a_model_of_prompts_and_a_classifier_score_together() -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    labels = ("open-nsfw/nsfw", "a red view", "open-nsfw/sfw")
    engine = open_engine("fake", labels, "cpu", cpu_threads=1)
    assert (engine.identity.name, engine.identity.image_size_px) == ("fake + open-nsfw", 224)
    assert engine.logit_scale == 100.0
    scores = engine.encode(red(2, 224))
    np.testing.assert_allclose(scores[:, 1], 1.0, atol=1e-6)
    np.testing.assert_allclose(scores[:, 0] + scores[:, 2], 1.0, atol=1e-5)


def test_each_set_of_labels_has_an_engine_over_its_own_models() -> None:
    pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")
    sets = [("a red view", "open-nsfw/nsfw"), ("open-nsfw/nsfw", "open-nsfw/sfw"), ("a green view",)]
    both, classifier, prompts = open_engines("fake", sets, "cpu", cpu_threads=1)
    assert [each.identity.name for each in (both, classifier, prompts)] == ["fake + open-nsfw", "open-nsfw", "fake"]
    assert [each.identity.image_size_px for each in (both, classifier, prompts)] == [224, 224, 8]
    assert both.identity == open_engine("fake", sets[0], "cpu", cpu_threads=1).identity
    np.testing.assert_allclose(prompts.encode(red(2, 8)), [[-0.5]] * 2, atol=1e-6)
    views = red(2, 224)
    np.testing.assert_allclose(both.encode(views)[:, 1], classifier.encode(views)[:, 0], atol=1e-6)
