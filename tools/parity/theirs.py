"""The package's checker over a model of ours: it asks its interrogator for the features of a picture, and for cosines.

``clip_interrogator`` itself cannot be used: it loads a captioning model and encodes tens of thousands of phrases first.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor


class Interrogator:
    """The part of ``clip_interrogator.Interrogator`` that the checker uses, over the model in a folder."""

    def __init__(self, folder: Path) -> None:
        weights = str(folder / "model.safetensors")
        self._network, _, self._preprocess = open_clip.create_model_and_transforms(folder.name, pretrained=weights)
        self._network.eval()
        self._tokenize = open_clip.get_tokenizer(folder.name)
        self._text_features: dict[tuple[str, ...], Tensor] = {}

    @torch.inference_mode()
    def image_to_features(self, image: Any) -> Tensor:
        """Of length one, ``(1, embed_dim)``."""
        return _of_length_one(self._network.encode_image(self._preprocess(image).unsqueeze(0)))

    @torch.inference_mode()
    def similarities(self, image_features: Tensor, text_array: list[str]) -> list[float]:
        """The cosine of each text."""
        texts = tuple(text_array)
        if texts not in self._text_features:
            self._text_features[texts] = _of_length_one(self._network.encode_text(self._tokenize(list(texts))))
        return (image_features @ self._text_features[texts].T)[0].tolist()


def _of_length_one(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=-1)


def checker(folder: Path) -> Any:
    """The package's ``NSFWChecker``, without DeepDanbooru."""
    return importlib.import_module("horde_safety.nsfw_checker_class").NSFWChecker(Interrogator(folder), None)


def conditions(result: Any) -> Mapping[str, bool]:
    """The parts of a result that our policy has too, under our names; older versions of the package lack one."""
    found = {
        "subject": result.found_human_subject,
        "is_drawn": result.is_anime,
        "is_sexual": result.is_nsfw,
        "shows_minor": getattr(result, "is_underage_subject", None),
        "csam": result.is_csam,
    }
    return {name: bool(holds) for name, holds in found.items() if holds is not None}
