"""ViT-B-32 with random weights and open_clip's own way from a picture to pixels, as a user of these servers has it."""

from __future__ import annotations

import io

import open_clip
import torch
from PIL import Image

MODEL = "ViT-B-32"
MAX_BATCH = 32


_preprocess = open_clip.image_transform(224, is_train=False)


def pixels(body: bytes) -> torch.Tensor:
    """A picture as the tower takes it, float32, ``(3, 224, 224)``."""
    with Image.open(io.BytesIO(body)) as picture:
        found: torch.Tensor = _preprocess(picture.convert("RGB"))
    return found


class Tower:
    """The image tower in bf16, and a comparison with ten labels."""

    def __init__(self) -> None:
        self._visual = open_clip.create_model(MODEL).visual.eval().to(torch.bfloat16)
        self._labels = torch.randn(512, 10, dtype=torch.bfloat16)

    def scores(self, pictures: list[torch.Tensor]) -> list[list[float]]:
        """Cosines with the labels, for each picture."""
        with torch.inference_mode():
            embedded = self._visual(torch.stack(pictures).to(torch.bfloat16))
            scores: list[list[float]] = (torch.nn.functional.normalize(embedded, dim=-1) @ self._labels).tolist()
        return scores
