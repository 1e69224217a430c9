"""A small CLIP with random weights whose cosines lie around the thresholds of a real one.

The features of a network with random weights hardly differ from one picture to the next, so that all cosines would be
nearly equal, and no threshold would ever be crossed. The last matrix of each tower is therefore not drawn but chosen:
it takes the mean feature to a fixed cosine, and spreads what differs from it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

IMAGE_SIZE_PX: Final = 64
_EMBED_DIM: Final = 128
_ARCHITECTURE: Final = {
    "embed_dim": _EMBED_DIM,
    "vision_cfg": {"image_size": IMAGE_SIZE_PX, "layers": 4, "width": 256, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 4},
}
_PICTURE_MEAN, _PROMPT_MEAN, _BOTH_MEANS, _RESERVED = range(4)
"""Dimensions of the features that hold the means; the others hold what differs."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean and the standard deviation of the cosines that are wanted over all pictures and prompts."""

    mean: float
    deviation: float


@torch.inference_mode()
def make_model(folder: Path, pictures: Sequence[Any], prompts: Sequence[str], spread: Spread, seed: int) -> None:
    """Write a model into ``folder``, as a configuration of open_clip and safetensors. It has the folder's name.

    Args:
        folder: exists.
        pictures: Pillow's, RGB, of ``IMAGE_SIZE_PX`` squared; their cosines with the prompts are spread.
        prompts: see ``pictures``.
        spread: of the cosines.
        seed: of the weights.
    """
    config = folder / f"{folder.name}.json"
    config.write_text(json.dumps(_ARCHITECTURE), "utf-8")
    open_clip.add_model_config(config)
    torch.manual_seed(seed)
    network, _, preprocess = open_clip.create_model_and_transforms(folder.name)
    network.eval()
    mixing = torch.randn(network.visual.proj.shape[0], _EMBED_DIM - _RESERVED)
    network.visual.proj = network.text_projection = None
    of_pictures = network.encode_image(torch.stack([preprocess(picture) for picture in pictures]))
    of_prompts = network.encode_text(open_clip.get_tokenizer(folder.name)(list(prompts)))
    projections = _projections(of_pictures.double(), of_prompts.double(), mixing.double(), spread)
    weights = {**network.state_dict(), "visual.proj": projections[0], "text_projection": projections[1]}
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors")


def _projections(of_pictures: Tensor, of_prompts: Tensor, mixing: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
    """The last matrices of the two towers, float32, ``(width, embed_dim)``, for features without them.

    A feature becomes its mean part, in dimensions of its own, and a rest of length one on average. The length of the
    mean parts makes the rests' similarities as small beside them as is wanted; the shared dimension makes the mean.
    """
    rests = [_rest(features, mixing) for features in (of_pictures, of_prompts)]
    similarities = (of_pictures @ rests[0]) @ (of_prompts @ rests[1]).T
    squared_length = float(similarities.std()) / spread.deviation
    shared = spread.mean * squared_length
    own = squared_length - shared - 1
    if own < 0:
        raise ValueError(f"random features do not spread so far: {spread}")
    projections = []
    for features, rest, own_dimension in zip(
        (of_pictures, of_prompts), rests, (_PICTURE_MEAN, _PROMPT_MEAN), strict=True
    ):
        towards_mean = features.mean(0) / features.mean(0).square().sum()
        projection = torch.zeros(len(mixing), _EMBED_DIM, dtype=mixing.dtype)
        projection[:, own_dimension] = towards_mean * own**0.5
        projection[:, _BOTH_MEANS] = towards_mean * shared**0.5
        projection[:, _RESERVED:] = rest
        projections.append(projection.float())
    return projections[0], projections[1]


def _rest(features: Tensor, mixing: Tensor) -> Tensor:
    """The matrix from features to what differs from their mean, mixed, of length one on average."""
    mean = features.mean(0)
    without_mean = torch.eye(len(mean), dtype=mean.dtype) - torch.outer(mean / mean.square().sum(), mean)
    rest = without_mean @ mixing
    return rest / (features @ rest).square().sum(1).mean().sqrt()
