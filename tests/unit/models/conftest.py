"""A model small enough to be made and loaded in a test: a true open_clip architecture with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESSING = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.4, 0.3]}

MakeModel = Callable[..., Path]


def write_model(folder: Path, seed: int = 0, bare: bool = False, **changed: Any) -> Path:
    """Writes a model folder in either form that is read; ``seed`` decides its weights."""
    folder.mkdir()
    architecture = ARCHITECTURE | changed
    torch.manual_seed(seed)
    weights = open_clip.CLIP(**architecture).state_dict()
    if bare:
        (folder / f"{folder.name}.json").write_text(json.dumps(architecture), "utf-8")
        save_file(weights, folder / f"{folder.name}.safetensors")
    else:
        config = {"model_cfg": architecture, "preprocess_cfg": PREPROCESSING}
        (folder / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
        save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model folder of the test's own, by its name: the arguments are those of :func:`write_model`."""

    def make(name: str = "tiny-clip", **options: Any) -> Path:
        return write_model(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def shared_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that every test shares and none changes."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny")
