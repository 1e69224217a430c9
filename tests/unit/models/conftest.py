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


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model folder in either form that is read; ``seed`` decides its weights."""

    def make(name: str = "tiny-clip", seed: int = 0, bare: bool = False, **changed: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        architecture = ARCHITECTURE | changed
        torch.manual_seed(seed)
        weights = open_clip.CLIP(**architecture).state_dict()
        if bare:
            (folder / f"{name}.json").write_text(json.dumps(architecture), "utf-8")
            save_file(weights, folder / f"{name}.safetensors")
        else:
            config = {"model_cfg": architecture, "preprocess_cfg": PREPROCESSING}
            (folder / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
            save_file(weights, folder / "open_clip_model.safetensors")
        return folder

    return make
