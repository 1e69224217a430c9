"""A policy's labels as the model's text tower reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from serve_app.models.load import LoadedModel


class TextFeatures(torch.nn.Module):
    """Token ids to features of length one."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self._network = model.network

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64, ``(labels, context_length)``, to float32, ``(labels, width)``."""
        return torch.nn.functional.normalize(self._network.encode_text(tokens).float(), dim=-1)


@torch.inference_mode()
def text_features(model: LoadedModel, labels: Sequence[str]) -> torch.Tensor:
    """float32, ``(labels, width)``, each of length one, in the order of ``labels``."""
    # No label is no batch for a tokeniser, and the width of a feature is known by computing one.
    features: torch.Tensor = TextFeatures(model)(model.tokenize(list(labels) or [""]))
    return features[: len(labels)]
