"""Our classifiers give the scores of nsfwjs itself, on TensorFlow.js, for the same pixels: both see one cut view.

Pictures are drawn; ``PICTWARDEN_MEDIA`` names folders with further ones, of which the JPEGs are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.composition.comparison import views_of
from serve_app.domain import CLASSIFIERS, output_label
from serve_app.media import MediaLimits
from serve_app.models.demo.views import drawn_views
from serve_app.models.factory import open_engine
from serve_app.models.nsfwjs.variants import VARIANTS, Variant
from tests.e2e.browser.media import folders_of_environment
from tests.e2e.nsfwjs.installation import CACHE, MISSING, is_installed
from tests.e2e.nsfwjs.node import Node, running_node

THEIR_NAMES = {"nsfwjs": "MobileNetV2", "nsfwjs-inception": "InceptionV3"}

DRAWN = 20
_SEED = 15

FAR_APART = 1e-5
"""Classes whose scores are nearer to each other than this have no order: float32 sums differ by their order too."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    if not is_installed():
        pytest.skip(MISSING)
    with running_node() as running:
        yield running


def views(size_px: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for number, view in enumerate(drawn_views(_SEED, DRAWN, size_px)):
        yield f"drawn {number}", view
    noise = np.random.default_rng(_SEED)
    yield "noise", noise.integers(0, 256, (size_px, size_px, 3), np.uint8)
    for grey in (0, 255):
        yield f"grey {grey}", np.full((size_px, size_px, 3), grey, np.uint8)
    for folder in folders_of_environment():
        for path in sorted(each for each in folder.rglob("*") if each.suffix.lower() in (".jpg", ".jpeg")):
            for cut in views_of([path], size_px, MediaLimits()):
                yield str(path), cut[0]


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant.classifier)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    return chosen


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_scores_are_those_of_the_package(variant: Variant, node: Node) -> None:
    outputs = CLASSIFIERS[variant.classifier]
    labels = [output_label(variant.classifier, each) for each in outputs]
    engine = open_engine(None, labels, "cpu", cpu_threads=1, cache_folder=CACHE)
    far: list[str] = []
    largest = 0.0
    compared = 0
    for name, view in views(variant.view_side_px):
        theirs = {each.lower(): score for each, score in node.classify(THEIR_NAMES[variant.classifier], view).items()}
        mine = dict(zip(outputs, map(float, engine.encode(view[np.newaxis])[0]), strict=True))
        apart = max(abs(mine[each] - theirs[each]) for each in outputs)
        largest = max(largest, apart)
        compared += 1
        if apart > 0.01 or _in_other_order(mine, theirs):
            far.append(f"{name}: {mine} and {theirs}")
    print(f"{variant.classifier}: {compared} pictures, largest difference {largest:.2e}, {len(far)} disagree")
    assert far == []


def _in_other_order(mine: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    """Whether a class that the package puts clearly before another one comes behind it here."""
    return any(
        theirs[first] - theirs[second] > FAR_APART and mine[first] <= mine[second]
        for first in theirs
        for second in theirs
    )
