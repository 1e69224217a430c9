"""The embedded model and its policy on 2,000 pictures that training never saw, through the real path.

Each is written as PNG, JPEG or WebP, decoded, cut into views, scored and judged, as an upload is. No Ray is needed.
"""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from serve_app.domain import Deadline, LabelScores, Verdict
from serve_app.media import MediaLimits, preprocess
from serve_app.models.demo import DEMO_NOTICE
from serve_app.models.demo.backgrounds import BACKGROUNDS, PHOTO_LIKE
from serve_app.models.demo.draw import COLOURS, SHAPES, draw, random_size_px
from serve_app.models.factory import open_engine
from serve_app.policy import evaluate, load_policy

pytestmark = pytest.mark.timeout(300)  # 2,000 pictures in one test

SEED = 2026
PICTURES = 2_000
FORMATS: tuple[tuple[str, dict[str, int]], ...] = (
    ("PNG", {}),
    ("JPEG", {"quality": 75}),
    ("JPEG", {"quality": 90}),
    ("WEBP", {"quality": 80}),
)
MAX_MODEL_BYTES = 10_000_000


@pytest.fixture(scope="module")
def verdict_of():
    policy = load_policy("shipped:demo-red-triangle")
    engine = open_engine("embedded:demo-shapes", policy.labels, device="cpu", cpu_threads=1)

    def judge(body):
        views = preprocess(body, engine.identity.image_size_px, MediaLimits(), Deadline.after(60))
        scores = LabelScores(engine.encode(views.pixels), engine.logit_scale, engine.identity)
        return evaluate(policy, scores).verdict

    policy.require_model(engine.identity)
    assert engine.identity.notice == DEMO_NOTICE
    return judge


def written(pixels, number):
    kind, options = FORMATS[number % len(FORMATS)]
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, kind, **options)
    return body.getvalue()


def rejected_share(verdict_of, pictures):
    verdicts = [verdict_of(written(pixels, number)) for number, pixels in enumerate(pictures)]
    return verdicts.count(Verdict.REJECT) / len(verdicts)


def drawn(rng, colour, shape):
    height_px, width_px = random_size_px(rng)
    background = str(rng.choice(tuple(BACKGROUNDS)))
    return draw(rng, colour, shape, background=background, height_px=height_px, width_px=width_px)


def anything_else(rng):
    """A shape that is not a red triangle, half of them red or a triangle; every fifth picture has no shape at all."""
    if rng.random() < 0.2:
        painter = PHOTO_LIKE[int(rng.integers(len(PHOTO_LIKE)))]
        return (np.clip(painter(rng, *random_size_px(rng)), 0, 1) * 255).astype(np.uint8)
    while True:
        kind = rng.random()
        colour = "red" if kind < 0.25 else str(rng.choice(COLOURS))
        shape = "triangle" if 0.25 <= kind < 0.5 else str(rng.choice(SHAPES))
        if (colour, shape) != ("red", "triangle"):
            return drawn(rng, colour, shape)


def test_red_triangles_are_rejected(verdict_of):
    rng = np.random.default_rng(SEED)
    assert rejected_share(verdict_of, (drawn(rng, "red", "triangle") for _ in range(PICTURES // 2))) >= 0.98


def test_everything_else_is_accepted(verdict_of):
    rng = np.random.default_rng(SEED + 1)
    assert rejected_share(verdict_of, (anything_else(rng) for _ in range(PICTURES // 2))) <= 0.01


@pytest.mark.parametrize("background", ["white", "black", "green", "lightblue"])
def test_a_plain_red_triangle_of_a_drawing_program_is_rejected(verdict_of, background):
    picture = Image.new("RGB", (300, 220), background)
    ImageDraw.Draw(picture).polygon([(60, 190), (150, 30), (250, 180)], fill="red")
    assert verdict_of(written(np.asarray(picture), 0)) is Verdict.REJECT


def test_the_model_is_small_enough_for_the_repository():
    from serve_app.models.demo import demo_model_folder

    assert sum(file.stat().st_size for file in demo_model_folder().iterdir()) <= MAX_MODEL_BYTES
