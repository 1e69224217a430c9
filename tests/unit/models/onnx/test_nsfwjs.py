"""The two models of nsfwjs as classifiers: what they are shown, and what is told where they are not fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serve_app.domain import CLASSIFIERS, ModelError
from serve_app.models.factory import open_engine
from serve_app.models.nsfwjs.variants import VARIANTS
from serve_app.models.onnx.nsfwjs import NSFWJS

pytest.importorskip("onnxruntime", reason="the extra nsfw is not installed")


def test_both_are_classifiers_of_five_outputs() -> None:
    assert [(each.name, each.view_size_px) for each in NSFWJS] == [("nsfwjs", 224), ("nsfwjs-inception", 299)]
    assert {CLASSIFIERS[each.name] for each in NSFWJS} == {("drawing", "hentai", "neutral", "porn", "sexy")}
    assert [each.sha256 for each in NSFWJS] == [variant.sha256 for variant in VARIANTS]


def test_bytes_become_shares_of_255() -> None:
    views = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    for each in NSFWJS:
        shown = each.prepare(views)
        assert shown.dtype == np.float32
        np.testing.assert_array_equal(shown, views / np.float32(255))


@pytest.mark.parametrize("name", [variant.classifier for variant in VARIANTS])
def test_what_is_not_fetched_is_told_with_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"classifier {name} is not in .*: run `pictwarden model fetch nsfwjs`"):
        open_engine(None, [f"{name}/porn"], "cpu", cpu_threads=1, cache_folder=tmp_path)
