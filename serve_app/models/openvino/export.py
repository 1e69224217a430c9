"""An open_clip model to a folder that OpenVINO runs without torch; in int8 after quantising (post-training)."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from serve_app.models.file_digests import digests
from serve_app.models.load import LoadedModel
from serve_app.models.openvino.conversion import (
    IMAGE_TOWER,
    TEXT_TOWER,
    TOKENIZER,
    Conversion,
    ConvertedModel,
)
from serve_app.models.openvino.narrow_mlps import with_narrow_mlps
from serve_app.models.openvino.runtime import load_library
from serve_app.models.openvino.tokenizer_export import export_tokenizer
from serve_app.models.source import CONVERTED_FILE
from serve_app.models.text import TextFeatures
from serve_app.models.tower import ImageFeatures

OnProgress = Callable[[str, float], None]
"""Is told the name of the step and the share of it that is done, 0..1."""


def export(
    model: LoadedModel, conversion: Conversion, views: NDArray[np.uint8], folder: Path, on_progress: OnProgress
) -> None:
    """Write the model, converted, to ``folder``.

    Args:
        model: float32 on the CPU.
        conversion: what is asked for; the model's digest and the installed versions are in it.
        views: to quantise with: uint8, ``(views, size_px, size_px, 3)``, RGB; none unless the precision is ``int8``.
        folder: where to; it is there, and empty.
        on_progress: called for each tower, and for each view of each pass over the views.

    Raises:
        ModelError: the model's tokenizer has no form that is read without torch; or the extra is not installed.
    """
    openvino = load_library("openvino").module
    text_cleaning = export_tokenizer(model.tokenize, folder / TOKENIZER)
    on_progress("converting", 0.0)
    text = _text_tower(model, openvino)
    # Half precision halves the file. What it rounds is an eighth of what bf16 rounds, and no weight overflows it.
    openvino.save_model(text, str(folder / TEXT_TOWER), compress_to_fp16=True)
    on_progress("converting", 0.4)
    image = _image_tower(model, openvino)
    on_progress("converting", 1.0)
    if conversion.precision == "int8":
        image = _quantised(image, views, on_progress)
    on_progress("writing", 0.0)
    # Whole: from half precision OpenVINO makes another copy in float32 first, which stays in memory (ViT-B-32: 200 MB).
    openvino.save_model(image, str(folder / IMAGE_TOWER), compress_to_fp16=False)
    ConvertedModel(
        name=model.identity.name,
        conversion=conversion,
        image_size_px=model.identity.image_size_px,
        logit_scale=model.logit_scale,
        notice=model.identity.notice,
        text_cleaning=text_cleaning,
        files=digests(folder, CONVERTED_FILE),
    ).write(folder)
    on_progress("writing", 1.0)


def _text_tower(model: LoadedModel, openvino: Any) -> Any:
    example = model.tokenize(["a prompt", "and another one"])
    return _converted(TextFeatures(model), openvino, example, [-1, example.shape[1]])


def _image_tower(model: LoadedModel, openvino: Any) -> Any:
    size_px = model.identity.image_size_px
    example = torch.zeros((2, size_px, size_px, 3), dtype=torch.uint8)
    return _converted(with_narrow_mlps(ImageFeatures(model)), openvino, example, [-1, size_px, size_px, 3])


@torch.inference_mode()
def _converted(tower: torch.nn.Module, openvino: Any, example: torch.Tensor, shape: list[int]) -> Any:
    with warnings.catch_warnings():
        # torch deprecates the tracing that is used here. What it says to use instead, torch.export, keeps the one
        # projection to queries, keys and values together, which costs a tenth of the speed.
        warnings.simplefilter("ignore")
        return openvino.convert_model(tower.eval(), example_input=example, input=[openvino.PartialShape(shape)])


def _quantised(image: Any, views: NDArray[np.uint8], on_progress: OnProgress) -> Any:
    nncf = load_library("nncf").module
    # Its logger alone: what it offers for this also sets the level of handlers, which may be everybody's.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # Its own progress bars go to standard output, which belongs to whoever reads `--json`.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nncf.quantize(
            image,
            nncf.Dataset(_Passes(views, on_progress)),
            subset_size=len(views),
            # SmoothQuant (Xiao et al. 2023, arXiv:2211.10438) for the layers between LayerNorm and projections, whose
            # activations have a few channels that are much larger than the others.
            model_type=nncf.ModelType.TRANSFORMER,
            # Symmetric activations: 5 % faster than asymmetric ones, because no zero point is to be taken off.
            preset=nncf.QuantizationPreset.PERFORMANCE,
            # In int8, attention is no faster than in bf16, and what it weighs is what quantising changes most.
            ignored_scope=nncf.IgnoredScope(types=["ScaledDotProductAttention"], validate=False),
        )


class _Passes:
    """The views, one at a time, as often as it is asked for, with its progress told."""

    def __init__(self, views: NDArray[np.uint8], on_progress: OnProgress) -> None:
        self._views = views
        self._on_progress = on_progress
        self._passes = 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        self._passes += 1
        for number in range(len(self._views)):
            self._on_progress(f"quantising, pass {self._passes}", number / len(self._views))
            yield self._views[number : number + 1]
