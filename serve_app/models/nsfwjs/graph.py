"""The ONNX graph of a topology: one entry for each layer kind that occurs.

Pictures are channels last in the package and channels first in ONNX. They are turned once, behind the input, and back
where they become a row of values, because the weights that follow are in the package's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatchmethod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serve_app.domain import ModelError
from serve_app.models.nsfwjs import topology as t
from serve_app.models.nsfwjs.weights import FloatArray

INPUT = "pictures"
OUTPUT = "scores"

# Of 2021 and 2022: what these layers need, and what older runtimes read too.
_OPSET = 15
_IR_VERSION = 8

_PADDING = {"same": "SAME_UPPER", "valid": "VALID"}
_POOLING = {"MaxPooling2D": "MaxPool", "AveragePooling2D": "AveragePool"}
_FUNCTIONS = {"relu": "Relu", "softmax": "Softmax"}


def onnx_model(topology: t.Topology, weights: Mapping[str, FloatArray], outputs: int) -> onnx.ModelProto:
    """The model: float32 ``(pictures, height, width, 3)`` in 0..1 to float32 ``(pictures, outputs)``.

    Raises:
        ModelError: layers, shapes and weights do not fit each other, or there is a weight that no layer has.
    """
    graph = _Graph(weights)
    for layer in topology.layers:
        graph.add(layer)
    return graph.finished(topology, outputs)


class _Graph:
    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        self._unused = dict(weights)
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._results: dict[str, str] = {}
        """The ONNX name of each layer's result."""
        self._rows: set[str] = set()
        """The layers whose result is a row of values, and no picture any more."""

    def add(self, layer: t.AnyLayer) -> None:
        """Write the nodes of ``layer``, whose inputs are written already."""
        if layer.name in self._results:
            raise ModelError(f"layer {layer.name}: there are two of this name")
        missing = [name for name in layer.inputs if name not in self._results]
        if missing:
            raise ModelError(f"layer {layer.name}: its input {missing[0]} does not stand before it")
        self._require_form(layer)
        self._results[layer.name] = self._written(layer, [self._results[name] for name in layer.inputs])

    def finished(self, topology: t.Topology, outputs: int) -> onnx.ModelProto:
        """The checked model."""
        if len(self._inputs) != 1 or topology.first != topology.layers[0].name:
            raise ModelError(f"the model has {len(self._inputs)} inputs, and one, as its first layer, is expected")
        if topology.last not in self._results:
            raise ModelError(f"the last layer, {topology.last}, is missing")
        if self._unused:
            raise ModelError(f"no layer has the weight {min(self._unused)}")
        self._nodes.append(helper.make_node("Identity", [self._results[topology.last]], [OUTPUT], OUTPUT))
        scores = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["pictures", outputs])
        model = helper.make_model(
            helper.make_graph(self._nodes, "nsfwjs", self._inputs, [scores], self._arrays),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="pictwarden",
        )
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ModelError(f"layers and weights do not fit each other: {error}") from error
        return model

    def _require_form(self, layer: t.AnyLayer) -> None:
        """Rows and pictures have their channels in other places."""
        rows = [name in self._rows for name in layer.inputs]
        match layer:
            case t.Dropout():
                is_right, becomes_row = True, any(rows)
            case t.Dense():
                is_right, becomes_row = all(rows), True
            case _:
                is_right, becomes_row = not any(rows), isinstance(layer, t.Flattening)
        if not is_right:
            raise ModelError(f"layer {layer.name}: a {layer.kind} of {', '.join(layer.inputs)}")
        if becomes_row:
            self._rows.add(layer.name)

    @singledispatchmethod
    def _written(self, layer: t.AnyLayer, given: Sequence[str]) -> str:
        """Write the nodes of a layer of one kind.

        Args:
            layer: one of :data:`~serve_app.models.nsfwjs.topology.AnyLayer`.
            given: the ONNX names of the results that it takes.

        Returns:
            The ONNX name of its own result.
        """
        raise ModelError(f"layer {layer.name}: a {layer.kind} is not known")

    @_written.register
    def _(self, layer: t.Input, given: Sequence[str]) -> str:
        _, height_px, width_px, channels = layer.batch_input_shape
        shape: list[int | str] = ["pictures", height_px, width_px, channels]
        self._inputs.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape))
        return self._node(layer, "Transpose", [INPUT], perm=[0, 3, 1, 2])

    @_written.register
    def _(self, layer: t.ZeroPadding, given: Sequence[str]) -> str:
        (above, below), (left, right) = layer.padding
        borders = np.array([0, 0, above, left, 0, 0, below, right], np.int64)
        return self._node(layer, "Pad", [*given, self._array(layer, "borders", borders)])

    @_written.register
    def _(self, layer: t.Convolution, given: Sequence[str]) -> str:
        kernel = self._weight(layer, "kernel", (*layer.kernel_size, None, layer.filters))
        name = self._array(layer, "kernel", kernel.transpose(3, 2, 0, 1))
        return self._node(layer, "Conv", [*given, name], **_window(layer, layer.kernel_size))

    @_written.register
    def _(self, layer: t.DepthwiseConvolution, given: Sequence[str]) -> str:
        kernel = self._weight(layer, "depthwise_kernel", (*layer.kernel_size, None, 1))
        name = self._array(layer, "depthwise_kernel", kernel.transpose(2, 3, 0, 1))
        return self._node(layer, "Conv", [*given, name], group=kernel.shape[2], **_window(layer, layer.kernel_size))

    @_written.register
    def _(self, layer: t.Normalization, given: Sequence[str]) -> str:
        beta = self._weight(layer, "beta", (None,))
        gamma = self._weight(layer, "gamma", beta.shape) if layer.scale else np.ones_like(beta)
        mean = self._weight(layer, "moving_mean", beta.shape)
        variance = self._weight(layer, "moving_variance", beta.shape)
        arrays = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        names = [self._array(layer, name, array) for name, array in arrays.items()]
        return self._node(layer, "BatchNormalization", [*given, *names], epsilon=layer.epsilon)

    @_written.register
    def _(self, layer: t.Relu, given: Sequence[str]) -> str:
        least = self._array(layer, "least", np.array(0, np.float32))
        most = self._array(layer, "most", np.array(layer.max_value, np.float32))
        return self._node(layer, "Clip", [*given, least, most])

    @_written.register
    def _(self, layer: t.Activation, given: Sequence[str]) -> str:
        return self._node(layer, _FUNCTIONS[layer.activation], given)

    @_written.register
    def _(self, layer: t.Pooling, given: Sequence[str]) -> str:
        return self._node(layer, _POOLING[layer.kind], given, **_window(layer, layer.pool_size))

    @_written.register
    def _(self, layer: t.Addition, given: Sequence[str]) -> str:
        return self._node(layer, "Add", given)

    @_written.register
    def _(self, layer: t.Concatenation, given: Sequence[str]) -> str:
        return self._node(layer, "Concat", given, axis=1)

    @_written.register
    def _(self, layer: t.Flattening, given: Sequence[str]) -> str:
        turned = self._node(layer, "Transpose", given, "channels_last", perm=[0, 2, 3, 1])
        return self._node(layer, "Flatten", [turned], axis=1)

    @_written.register
    def _(self, layer: t.Dense, given: Sequence[str]) -> str:
        kernel = self._array(layer, "kernel", self._weight(layer, "kernel", (None, layer.units)))
        bias = self._array(layer, "bias", self._weight(layer, "bias", (layer.units,)))
        sums = self._node(layer, "Gemm", [*given, kernel, bias], "sums")
        return self._node(layer, _FUNCTIONS[layer.activation], [sums])

    @_written.register
    def _(self, layer: t.Dropout, given: Sequence[str]) -> str:
        return given[0]

    def _weight(self, layer: t.AnyLayer, name: str, shape: tuple[int | None, ...]) -> FloatArray:
        """The layer's weight. None in ``shape`` stands for a dimension of any size, which the checked model settles."""
        array = self._unused.pop(f"{layer.name}/{name}", None)
        if array is None:
            raise ModelError(f"layer {layer.name}: its weight {name} is missing")
        if len(shape) != array.ndim or any(
            wanted not in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
        ):
            raise ModelError(f"layer {layer.name}: its weight {name} has the shape {array.shape}")
        return array

    def _array(self, layer: t.AnyLayer, name: str, array: np.ndarray[Any, Any]) -> str:
        full_name = f"{layer.name}/{name}"
        self._arrays.append(numpy_helper.from_array(np.ascontiguousarray(array), full_name))
        return full_name

    def _node(self, layer: t.AnyLayer, kind: str, inputs: Sequence[str], part: str = "", **options: Any) -> str:
        result = f"{layer.name}/{part}" if part else layer.name
        self._nodes.append(helper.make_node(kind, inputs, [result], result, **options))
        return result


def _window(layer: t.Convolution | t.DepthwiseConvolution | t.Pooling, size: tuple[int, int]) -> dict[str, Any]:
    return {"kernel_shape": size, "strides": layer.strides, "auto_pad": _PADDING[layer.padding]}
