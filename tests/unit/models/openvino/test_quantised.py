"""The quantised engine: what it is called, what it needs to start, what it says when that is not there."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serve_app.domain import ModelError
from serve_app.models.agreement import Agreement, Agreements, PolicyReference
from serve_app.models.factory import open_engine, open_quantised
from serve_app.models.load import load_model
from serve_app.models.openvino.cache import ModelCache
from serve_app.models.openvino.conversion import Conversion
from serve_app.models.openvino.quantisation_views import VIEW_COUNT, QuantisationViews
from serve_app.models.openvino.runtime import load_library

LABELS = ("a red shape", "a blue shape")
POLICY = PolicyReference("./my policy.yaml", "cd" * 32)
Told = list[tuple[str, float]]


@pytest.fixture(scope="module")
def source(shared_model: Path) -> str:
    return str(shared_model)


@pytest.fixture(scope="module")
def once(source: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Conversion]:
    """A cache with the model, quantised with a few photographs once for all these tests, and which conversion it is."""
    cache = tmp_path_factory.mktemp("once") / "cache"
    return cache, convert(source, cache, few(4))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the test's own, with nothing in it."""
    return tmp_path / "cache"


@pytest.fixture
def quantised(once: tuple[Path, Conversion], cache: Path) -> Conversion:
    """The same with the model quantised in it, and nothing recorded."""
    made, conversion = once
    shutil.copytree(made, cache)
    return conversion


def few(views: int) -> Callable[[int], QuantisationViews]:
    """A few photographs to quantise with: noise, which is quick to make."""
    return lambda size_px: QuantisationViews.of(
        np.random.default_rng(views).integers(0, 256, (views, size_px, size_px, 3), np.uint8)
    )


def convert(
    source: str, cache: Path, give_views: Callable[[int], QuantisationViews], told: Told | None = None
) -> Conversion:
    told = [] if told is None else told
    return open_quantised(source, LABELS, give_views, cache, 1, lambda *each: told.append(each))[1]


def start(source: str, cache: Path):
    return open_engine(source, LABELS, cpu_threads=1, engine="openvino-int8", policy=POLICY, cache_folder=cache)


def record(conversion: Conversion, cache: Path, **changed: object) -> None:
    good = Agreement(conversion, "tiny", "p", POLICY.digest, 5000, 1.0, "2026-11-24T10:00:00+00:00", False, "f32")
    Agreements(cache).record(replace(good, **changed))  # type: ignore[arg-type]


def test_it_is_another_model_of_the_same_name(source: str, cache: Path) -> None:
    whole = load_model(source).identity
    engine, conversion = open_quantised(source, LABELS, few(4), cache, 1, lambda *_: None)
    identity = engine.identity
    assert (identity.name, identity.image_size_px, identity.derived_from) == ("tiny", 32, whole.digest)
    assert identity.digest == conversion.digest != whole.digest


def test_its_scores_are_close_to_those_of_torch(source: str, cache: Path) -> None:
    views = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), np.uint8)
    exact = open_engine(source, LABELS, "cpu", "fp32", 1).encode(views)
    engine, _ = open_quantised(source, LABELS, few(16), cache, 1, lambda *_: None)
    np.testing.assert_allclose(engine.encode(engine.upload(list(views))), exact, atol=0.05)


def test_it_is_converted_once_and_progress_is_told(source: str, cache: Path) -> None:
    first: Told = []
    convert(source, cache, few(4), first)
    steps = list(dict.fromkeys(step for step, _ in first))
    assert (steps[0], steps[-1]) == ("converting", "writing")
    assert "quantising, pass 1" in steps
    assert all(0 <= share <= 1 for _, share in first)
    again: Told = []
    convert(source, cache, few(4), again)
    assert again == []


def test_it_starts_with_a_record(
    source: str, cache: Path, quantised: Conversion, caplog: pytest.LogCaptureFixture
) -> None:
    record(quantised, cache)
    with caplog.at_level(logging.INFO, "serve_app"):
        assert start(source, cache).identity.digest == quantised.digest
    assert "100.00 % of 5000 verdicts agree" in caplog.text
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.usefixtures("quantised")
def test_it_does_not_start_without_a_record_and_says_which_command_makes_one(source: str, cache: Path) -> None:
    command = rf"pictwarden model compare FOLDER --model {source} --policy './my policy.yaml' --cache-folder {cache}$"
    with pytest.raises(ModelError, match=command):
        start(source, cache)


def test_it_does_not_start_with_too_low_an_agreement(source: str, cache: Path, quantised: Conversion) -> None:
    record(quantised, cache, agreement=0.99)
    with pytest.raises(ModelError, match=r"99\.00% of the verdicts agree.*--accept-lower"):
        start(source, cache)


def test_accepted_lower_starts_and_is_told_each_time(
    source: str, cache: Path, quantised: Conversion, caplog: pytest.LogCaptureFixture
) -> None:
    record(quantised, cache, agreement=0.9, accepted_lower=True)
    for _ in range(2):
        caplog.clear()
        start(source, cache)
        assert "starts with --accept-lower: 90.00% of the verdicts agree" in caplog.text


def test_one_quantised_with_drawn_views_is_converted_at_start_if_the_cache_lost_it(
    source: str, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conversion = Conversion(load_model(source).identity.digest, "int8", QuantisationViews.drawn().name, *versions())
    record(conversion, cache)
    with caplog.at_level(logging.INFO, "serve_app"):
        start(source, cache)
    assert ModelCache(cache).find(conversion) is not None
    assert "quantising, pass 1, 0 %" in caplog.text
    assert "writing, 100 %" in caplog.text


def test_photographs_that_are_not_here_cannot_be_quantised_with_again(
    source: str, cache: Path, quantised: Conversion
) -> None:
    record(quantised, cache)
    found = ModelCache(cache).find(quantised)
    assert found is not None
    (found / "image.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"photographs-.* --quantise-with PHOTOGRAPHS"):
        start(source, cache)


def test_without_a_policy_it_does_not_start(source: str) -> None:
    with pytest.raises(ModelError, match="for a policy only"):
        open_engine(source, LABELS, engine="openvino-int8")


def test_auto_is_never_quantised(source: str, cache: Path, quantised: Conversion) -> None:
    record(quantised, cache)
    engine = open_engine(source, LABELS, cpu_threads=1, policy=POLICY, cache_folder=cache)
    assert engine.identity == load_model(source).identity


@pytest.mark.parametrize(("missing", "extra"), [("openvino", "openvino"), ("nncf", "openvino-int8")])
def test_the_missing_extra_is_named_with_the_way_out(
    source: str, cache: Path, monkeypatch: pytest.MonkeyPatch, missing: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError, match=rf"{missing} cannot be imported: .*'\.\[{extra}\]'"):
        start(source, cache)


def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    code = "from serve_app.models.openvino.runtime import load_library; load_library('openvino'); load_library('nncf')"
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True, timeout=50)
    assert list(tmp_path.iterdir()) == [], "their telemetry leaves an identifier in the home folder"


def test_drawn_views_are_the_same_everywhere_and_varied() -> None:
    views = QuantisationViews.drawn().views(32)
    assert (views.shape, views.dtype) == ((VIEW_COUNT, 32, 32, 3), np.dtype(np.uint8))
    np.testing.assert_array_equal(views, QuantisationViews.drawn().views(32))
    assert len(np.unique(views.reshape(len(views), -1), axis=0)) == VIEW_COUNT


def test_photographs_are_known_by_their_bytes() -> None:
    views = np.zeros((2, 8, 8, 3), np.uint8)
    assert (
        QuantisationViews.of(views).name
        == QuantisationViews.of(views.copy()).name
        != QuantisationViews.of(views + 1).name
    )
    with pytest.raises(ModelError, match="photographs-1"):
        QuantisationViews("photographs-1").views(8)


def versions() -> tuple[str, str]:
    return load_library("openvino").version, load_library("nncf").version
