"""Arrays of float32 out of bytes, one byte a value."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import ModelError
from serve_app.models.nsfwjs.topology import Group

FloatArray = NDArray[np.float32]


def dequantised(group: Group, body: bytes) -> dict[str, FloatArray]:
    """Every array of ``group`` by name, as TensorFlow.js makes it of the same bytes.

    Raises:
        ModelError: there are more or fewer bytes than values, or a name stands twice.
    """
    wanted = sum(math.prod(weight.shape) for weight in group.weights)
    if wanted != len(body):
        raise ModelError(f"the weights have {wanted:,} values, and {len(body):,} bytes are there for them")
    arrays: dict[str, FloatArray] = {}
    start = 0
    for weight in group.weights:
        if weight.name in arrays:
            raise ModelError(f"the weight {weight.name!r} stands twice")
        quantised = np.frombuffer(body, np.uint8, math.prod(weight.shape), start).reshape(weight.shape)
        # Computed in float64, like numbers of JavaScript, and rounded once.
        values = quantised.astype(np.float64) * weight.quantization.scale + weight.quantization.min
        arrays[weight.name] = values.astype(np.float32)
        start += quantised.size
    return arrays
