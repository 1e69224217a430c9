"""Each layer kind computes what numpy says that it computes, with the options that occur."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from serve_app.domain import ModelError
from serve_app.models.nsfwjs.graph import INPUT, onnx_model
from serve_app.models.nsfwjs.topology import read_topology
from serve_app.models.nsfwjs.weights import dequantised
from tests.unit.models.nsfwjs.made_up import (
    FloatArray,
    conv,
    dense,
    document,
    flatten,
    layer,
    pictures,
    quantised,
    worth,
)

PICTURES: FloatArray = np.random.default_rng(7).random((2, 5, 6, 3), np.float32)

CHANNELS_LAST = {"data_format": "channels_last"}

Weights = Mapping[str, NDArray[np.uint8]]


def model_of(described: dict[str, Any], weights: Weights, outputs: int) -> bytes:
    topology = read_topology(json.dumps(described), "model")
    body = b"".join(array.tobytes() for array in weights.values())
    written: bytes = onnx_model(topology, dequantised(topology.weights, body), outputs).SerializeToString()
    return written


def run(layers: Sequence[dict[str, Any]], weights: Weights, shape: tuple[int, ...]) -> FloatArray:
    """What a model says of :data:`PICTURES`, one row for each, in ``shape``."""
    written = model_of(document(layers, weights), weights, int(np.prod(shape)))
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {INPUT: PICTURES})
    return np.asarray(scores, np.float32).reshape(len(PICTURES), *shape)


def of_picture(the_layer: dict[str, Any], weights: Weights, shape: tuple[int, ...]) -> FloatArray:
    return run([pictures(), the_layer, flatten("flat", the_layer["name"])], weights, shape)


def same(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding: as little as gives ceil(size / stride) windows, the odd one behind."""
    wanted = max((-(-size // stride) - 1) * stride + window - size, 0)
    return wanted // 2, wanted - wanted // 2


def windows(
    array: FloatArray, size: tuple[int, int], strides: tuple[int, int], padding: str, fill: float = 0.0
) -> FloatArray:
    """``(pictures, height, width, channels, *size)``."""
    if padding == "same":
        around = [same(length, part, step) for length, part, step in zip(array.shape[1:3], size, strides, strict=True)]
        array = np.pad(array, [(0, 0), *around, (0, 0)], constant_values=fill)
    return np.asarray(sliding_window_view(array, size, (1, 2))[:, :: strides[0], :: strides[1]])


WINDOWS = [
    ((3, 3), (1, 1), "same"),
    ((3, 3), (2, 2), "same"),
    ((3, 3), (2, 2), "valid"),
    ((1, 1), (1, 1), "valid"),
    ((1, 5), (1, 1), "same"),
    ((5, 1), (1, 1), "same"),
]


@pytest.mark.parametrize(("size", "strides", "padding"), WINDOWS)
def test_a_convolution(size: tuple[int, int], strides: tuple[int, int], padding: str) -> None:
    kernel = quantised(1, *size, 3, 4)
    expected = np.einsum("nhwcij,ijcf->nhwf", windows(PICTURES, size, strides, padding), worth(kernel))
    the_layer = conv("conv", "in", 4, kernel_size=size, strides=strides, padding=padding)
    scores = of_picture(the_layer, {"conv/kernel": kernel}, expected.shape[1:])
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize(("size", "strides", "padding"), WINDOWS)
def test_a_depthwise_convolution(size: tuple[int, int], strides: tuple[int, int], padding: str) -> None:
    kernel = quantised(1, *size, 3, 1)
    expected = np.einsum("nhwcij,ijc->nhwc", windows(PICTURES, size, strides, padding), worth(kernel)[..., 0])
    options = conv("", "", 1, kernel_size=size, strides=strides, padding=padding)["config"] | {"depth_multiplier": 1}
    del options["filters"], options["name"]
    the_layer = layer("DepthwiseConv2D", "deep", "in", **options)
    scores = of_picture(the_layer, {"deep/depthwise_kernel": kernel}, expected.shape[1:])
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize(("size", "strides", "padding"), WINDOWS)
def test_pooling_does_not_count_what_it_pads_with(
    kind: str, size: tuple[int, int], strides: tuple[int, int], padding: str
) -> None:
    parts = windows(PICTURES, size, strides, padding, np.nan)
    expected = (np.nanmax if kind == "MaxPooling2D" else np.nanmean)(parts, (-2, -1))
    the_layer = layer(kind, "pool", "in", pool_size=size, strides=strides, padding=padding, **CHANNELS_LAST)
    np.testing.assert_allclose(of_picture(the_layer, {}, expected.shape[1:]), expected, atol=1e-6)


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("axis", [-1, 3])
def test_a_normalisation(axis: int, is_scaled: bool) -> None:
    names = ["gamma", "beta", "moving_mean", "moving_variance"][0 if is_scaled else 1 :]
    weights = {name: quantised(seed, 3) | np.uint8(0x80) for seed, name in enumerate(names)}  # no variance below zero
    values = {name: worth(array) for name, array in weights.items()}
    deviation = np.sqrt(values["moving_variance"] + np.float32(0.001))
    expected = (PICTURES - values["moving_mean"]) / deviation * values.get("gamma", np.float32(1)) + values["beta"]
    options = {"axis": axis, "epsilon": 0.001, "center": True, "scale": is_scaled, "momentum": 0.99}
    the_layer = layer("BatchNormalization", "norm", "in", **options)
    scores = of_picture(the_layer, {f"norm/{name}": array for name, array in weights.items()}, (5, 6, 3))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_a_relu_is_cut_at_both_ends() -> None:
    kernel = quantised(1, 1, 1, 3, 3)
    sums = np.einsum("nhwc,cf->nhwf", PICTURES, worth(kernel)[0, 0])
    layers = [
        pictures(),
        conv("conv", "in", 3, kernel_size=[1, 1]),
        layer("ReLU", "relu", "conv", max_value=0.5, negative_slope=0, threshold=0),
        flatten("flat", "relu"),
    ]
    assert sums.min() < 0
    assert sums.max() > 0.5
    scores = run(layers, {"conv/kernel": kernel}, (5, 6, 3))
    np.testing.assert_allclose(scores, np.clip(sums, 0, 0.5), atol=1e-6)


def test_an_activation() -> None:
    kernel = quantised(1, 1, 1, 3, 3)
    sums = np.einsum("nhwc,cf->nhwf", PICTURES, worth(kernel)[0, 0])
    activation = layer("Activation", "activation", "conv", activation="relu")
    layers = [pictures(), conv("conv", "in", 3, kernel_size=[1, 1]), activation, flatten("flat", "activation")]
    np.testing.assert_allclose(run(layers, {"conv/kernel": kernel}, (5, 6, 3)), np.maximum(sums, 0), atol=1e-6)


def test_zeros_around_a_picture() -> None:
    the_layer = layer("ZeroPadding2D", "pad", "in", padding=[[0, 1], [2, 3]], **CHANNELS_LAST)
    expected = np.pad(PICTURES, [(0, 0), (0, 1), (2, 3), (0, 0)])
    np.testing.assert_array_equal(of_picture(the_layer, {}, expected.shape[1:]), expected)


def test_a_sum() -> None:
    np.testing.assert_array_equal(of_picture(layer("Add", "sum", "in", "in"), {}, (5, 6, 3)), PICTURES * 2)


def test_channels_side_by_side() -> None:
    the_layer = layer("Concatenate", "joined", "in", "in", "in", axis=3)
    np.testing.assert_array_equal(of_picture(the_layer, {}, (5, 6, 9)), np.concatenate([PICTURES] * 3, axis=3))


def test_a_dropout_does_nothing_before_or_behind_the_row() -> None:
    options = {"rate": 0.5, "noise_shape": None, "seed": None}
    layers = [
        pictures(),
        layer("Dropout", "first", "in", **options),
        flatten("flat", "first"),
        layer("Dropout", "second", "flat", **options),
        dense("dense", "second", 4, "relu"),
    ]
    weights = {"dense/kernel": quantised(1, 90, 4), "dense/bias": quantised(2, 4)}
    expected = PICTURES.reshape(2, 90) @ worth(weights["dense/kernel"]) + worth(weights["dense/bias"])
    np.testing.assert_allclose(run(layers, weights, (4,)), np.maximum(expected, 0), atol=1e-4)


def test_dense_layers_give_probabilities() -> None:
    layers = [pictures(), flatten("flat", "in"), dense("hidden", "flat", 4, "relu"), dense("last", "hidden", 5)]
    weights = {
        "hidden/kernel": quantised(1, 90, 4),
        "hidden/bias": quantised(2, 4),
        "last/kernel": quantised(3, 4, 5),
        "last/bias": quantised(4, 5),
    }
    hidden = PICTURES.reshape(2, 90) @ worth(weights["hidden/kernel"]) + worth(weights["hidden/bias"])
    sums = np.maximum(hidden, 0) @ worth(weights["last/kernel"]) + worth(weights["last/bias"])
    powers = np.exp(sums - sums.max(1, keepdims=True))
    np.testing.assert_allclose(run(layers, weights, (5,)), powers / powers.sum(1, keepdims=True), atol=1e-5)


KERNEL = {"conv/kernel": quantised(1, 3, 3, 3, 2)}
CONV = conv("conv", "in", 2)
FLAT = flatten("flat", "conv")
DENSE = dense("dense", "flat", 5)


def changed(the_layer: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**the_layer, "config": the_layer["config"] | options}


NO_SUCH_MODEL: dict[str, tuple[list[dict[str, Any]], Weights, str]] = {
    "a weight is missing": ([pictures(), CONV, FLAT], {}, "layer conv: its weight kernel is missing"),
    "a weight too many": ([pictures(), CONV, FLAT], {**KERNEL, "x/y": quantised(1, 1)}, "no layer has the weight x/y"),
    "a kernel of another size": (
        [pictures(), changed(CONV, kernel_size=[3, 5]), FLAT],
        KERNEL,
        "layer conv: its weight kernel has the shape",
    ),
    "a kernel of other channels": (
        [pictures(), CONV, FLAT],
        {"conv/kernel": quantised(1, 3, 3, 4, 2)},
        "layers and weights do not fit each other",
    ),
    "another number of outputs": ([pictures(), CONV, FLAT], KERNEL, "layers and weights do not fit each other"),
    "an input that follows": ([pictures(), FLAT, CONV], KERNEL, "layer flat: its input conv does not stand before it"),
    "one name twice": ([pictures(), CONV, CONV, FLAT], KERNEL, "layer conv: there are two of this name"),
    "two inputs": ([pictures(), pictures() | {"name": "other"}, CONV, FLAT], KERNEL, "has 2 inputs"),
    "no input": ([layer("Add", "sum", "in", "in")], {}, "layer sum: its input in does not stand before it"),
    "a row of a picture": ([pictures(), dense("dense", "in", 5)], {}, "layer dense: a Dense of in"),
    "a picture of a row": (
        [pictures(), flatten("flat", "in"), conv("conv", "flat", 2)],
        KERNEL,
        "layer conv: a Conv2D of flat",
    ),
    "a name that ONNX has already": (
        [pictures(), changed(CONV, name="pictures") | {"name": "pictures"}, flatten("flat", "pictures")],
        {"pictures/kernel": KERNEL["conv/kernel"]},
        "layers and weights do not fit each other",
    ),
    "another kind": ([pictures(), layer("LSTM", "lstm", "in")], {}, "Input tag 'LSTM'"),
    "an option that changes the result": ([pictures(), changed(CONV, groups=3), FLAT], KERNEL, "Conv2D.groups"),
    "another value": ([pictures(), changed(CONV, dilation_rate=[2, 2]), FLAT], KERNEL, "Conv2D.dilation_rate"),
    "an option is missing": ([pictures(), layer("Flatten", "flat", "in")], {}, "Flatten.data_format"),
    "one input too many": ([pictures(), layer("Add", "sum", "in", "in", "in")], {}, "Add.inputs"),
}


@pytest.mark.parametrize("name", NO_SUCH_MODEL)
def test_what_does_not_fit_is_an_error_that_names_the_layer(name: str) -> None:
    layers, weights, said = NO_SUCH_MODEL[name]
    described = document(layers, weights)
    with pytest.raises(ModelError, match=re.escape(said)):
        model_of(described, weights, 5)


@pytest.mark.parametrize("part", ["modelTopology", "weightsManifest"])
def test_a_document_without_its_parts_is_an_error(part: str) -> None:
    described = document([pictures(), CONV, FLAT], KERNEL)
    del described[part]
    with pytest.raises(ModelError, match=part):
        read_topology(json.dumps(described), "model")


@pytest.mark.parametrize("text", ["", "[]", "{", "nul", '{"modelTopology":1e999}', "[" * 500])
def test_what_is_no_document_is_an_error(text: str) -> None:
    with pytest.raises(ModelError, match=r"^the file: "):
        read_topology(text, "the file")


def test_the_last_layer_is_the_one_that_is_named() -> None:
    described = document([pictures(), CONV, FLAT], KERNEL)
    described["modelTopology"]["model_config"]["config"]["output_layers"] = [["other", 0, 0]]
    with pytest.raises(ModelError, match="the last layer, other, is missing"):
        model_of(described, KERNEL, 60)


def test_no_layer_is_no_model() -> None:
    described = document([pictures(), CONV, FLAT], KERNEL)
    described["modelTopology"]["model_config"]["config"]["layers"] = []
    with pytest.raises(ModelError, match="layers: Tuple should have at least 1 item"):
        model_of(described, KERNEL, 60)
