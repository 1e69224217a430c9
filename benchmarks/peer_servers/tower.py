"""ViT-B-32 with random weights and open_clip's own way from a picture to pixels, as a user of these servers has it."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import open_clip
import torch
from PIL import Image

MODEL = "ViT-B-32"
MAX_BATCH = 32

_preprocess = open_clip.image_transform(224, is_train=False)


def port() -> int:
    """What ``--port`` says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    return int(parser.parse_args().port)


def pixels(body: bytes) -> torch.Tensor:
    """A picture as the tower takes it, float32, ``(3, 224, 224)``."""
    with Image.open(io.BytesIO(body)) as picture:
        found: torch.Tensor = _preprocess(picture.convert("RGB"))
    return found


class Tower:
    """The image tower, in bf16 where this processor multiplies in it, and a comparison with ten labels."""

    def __init__(self) -> None:
        features = Path("/proc/cpuinfo").read_text("utf-8", errors="ignore")
        self._dtype = torch.bfloat16 if "avx512_bf16" in features or "amx_bf16" in features else torch.float32
        self._visual = open_clip.create_model(MODEL).visual.eval().to(self._dtype)
        self._labels = torch.randn(512, 10, dtype=self._dtype)

    def scores(self, pictures: list[torch.Tensor]) -> list[list[float]]:
        """Cosines with the labels, for each picture."""
        with torch.inference_mode():
            embedded = self._visual(torch.stack(pictures).to(self._dtype))
            scores: list[list[float]] = (torch.nn.functional.normalize(embedded, dim=-1) @ self._labels).tolist()
        return scores
