"""An open_clip image tower to an OpenVINO model with int8 weights and activations (post-training quantisation)."""

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

from serve_app.models.load import LoadedModel
from serve_app.models.narrow_mlps import with_narrow_mlps
from serve_app.models.openvino_runtime import Runtime
from serve_app.models.tower import ImageFeatures

OnProgress = Callable[[str, float], None]
"""Is told the name of the stage and the share of it that is done, 0..1."""


def quantise(
    model: LoadedModel, calibration: NDArray[np.uint8], runtime: Runtime, file: Path, on_progress: OnProgress
) -> None:
    """Write the model, quantised, to ``file`` (an OpenVINO ``.xml``; its weights go beside it).

    Args:
        model: float32 on the CPU.
        calibration: uint8, ``(views, size_px, size_px, 3)``, RGB.
        runtime: what converts and quantises.
        file: where to.
        on_progress: is told of each view of each pass over the calibration.
    """
    on_progress("converting", 0.0)
    converted = _converted(model, runtime.openvino)
    on_progress("converting", 1.0)
    nncf = runtime.nncf
    # Its logger alone: what it offers for this also sets the level of handlers, which may be everybody's.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # Its own progress bars go to standard output, which belongs to whoever reads `--json`.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = nncf.quantize(
            converted,
            nncf.Dataset(_Passes(calibration, on_progress)),
            subset_size=len(calibration),
            # SmoothQuant (Xiao et al. 2023, arXiv:2211.10438) for the layers between LayerNorm and projections, whose
            # activations have a few channels that are much larger than the others.
            model_type=nncf.ModelType.TRANSFORMER,
            # Symmetric activations: 5 % faster than asymmetric ones, because no zero point is to be taken off.
            preset=nncf.QuantizationPreset.PERFORMANCE,
            # In int8, attention is no faster than in bf16, and what it weighs is what quantising changes most.
            ignored_scope=nncf.IgnoredScope(types=["ScaledDotProductAttention"], validate=False),
        )
    on_progress("writing", 0.0)
    runtime.openvino.save_model(quantised, str(file), compress_to_fp16=False)
    on_progress("writing", 1.0)


@torch.inference_mode()
def _converted(model: LoadedModel, openvino: Any) -> Any:
    size_px = model.identity.image_size_px
    with warnings.catch_warnings():
        # torch deprecates the tracing that is used here. What it says to use instead, torch.export, keeps the one
        # projection to queries, keys and values together, which costs a tenth of the speed.
        warnings.simplefilter("ignore")
        return openvino.convert_model(
            with_narrow_mlps(ImageFeatures(model)).eval(),
            example_input=torch.zeros((2, size_px, size_px, 3), dtype=torch.uint8),
            input=[openvino.PartialShape([-1, size_px, size_px, 3])],
        )


class _Passes:
    """The calibration, one view at a time, as often as it is asked for, with its progress told."""

    def __init__(self, views: NDArray[np.uint8], on_progress: OnProgress) -> None:
        self._views = views
        self._on_progress = on_progress
        self._passes = 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        self._passes += 1
        for number in range(len(self._views)):
            self._on_progress(f"quantising, pass {self._passes}", number / len(self._views))
            yield self._views[number : number + 1]
