"""A policy's labels as the model's text tower reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from serve_app.models.load import LoadedModel


@torch.inference_mode()
def text_features(model: LoadedModel, labels: Sequence[str]) -> torch.Tensor:
    """float32, ``(labels, width)``, each of length one, in the order of ``labels``."""
    features: torch.Tensor = model.network.encode_text(model.tokenize(list(labels)))
    return torch.nn.functional.normalize(features.float(), dim=-1)
