"""The topology as it stands in the package (Keras 2.2), with exactly the layer kinds and options that occur in it.

A layer of another kind, an option with another value, and an option that is not named here are errors: the graph that
is written is the same function, or is not written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, ValidationError

from serve_app.domain import ModelError

_Count = Annotated[int, Field(ge=1, le=100_000)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Pair = tuple[_Count, _Count]
_Border = tuple[Annotated[int, Field(ge=0, le=100)], Annotated[int, Field(ge=0, le=100)]]
_Moderate = Annotated[float, Field(ge=-1e6, le=1e6)]
_ChannelsLast = Literal["channels_last"]
_Padding = Literal["same", "valid"]

# Of use to whoever trains the model.
_TRAINING = re.compile("name|trainable|momentum|[a-z_]+_(initializer|regularizer|constraint)")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Layer(_Part):
    name: _Name


class _OfOne(_Layer):
    inputs: tuple[_Name]


class Input(_Layer):
    """The pictures, channels last. ``batch_input_shape``: any number of them, height, width, 3."""

    inputs: tuple[()]
    kind: Literal["InputLayer"]
    batch_input_shape: tuple[None, _Count, _Count, Literal[3]]
    dtype: Literal["float32"]
    sparse: Literal[False]


class ZeroPadding(_OfOne):
    """Zeros around the picture: ``((above, below), (left, right))`` in pixels."""

    kind: Literal["ZeroPadding2D"]
    padding: tuple[_Border, _Border]
    data_format: _ChannelsLast


class _Window(_OfOne):
    strides: _Pair
    padding: _Padding
    data_format: _ChannelsLast


class _Convolution(_Window):
    kernel_size: _Pair
    dilation_rate: tuple[Literal[1], Literal[1]]
    activation: Literal["linear"]
    use_bias: Literal[False]


class Convolution(_Convolution):
    """Without a bias: what follows is a normalisation."""

    kind: Literal["Conv2D"]
    filters: _Count


class DepthwiseConvolution(_Convolution):
    """One filter for each channel."""

    kind: Literal["DepthwiseConv2D"]
    depth_multiplier: Literal[1]


class Normalization(_OfOne):
    """With the mean and the variance of the training, for each channel."""

    kind: Literal["BatchNormalization"]
    axis: Literal[-1, 3]
    epsilon: PositiveFloat
    center: Literal[True]
    scale: bool


class Relu(_OfOne):
    """Cut at ``max_value`` too."""

    kind: Literal["ReLU"]
    max_value: PositiveFloat
    negative_slope: Literal[0]
    threshold: Literal[0]


class Activation(_OfOne):
    """A function on each value."""

    kind: Literal["Activation"]
    activation: Literal["relu"]


class Pooling(_Window):
    """The greatest, or the mean, of each window; padding is not counted."""

    kind: Literal["MaxPooling2D", "AveragePooling2D"]
    pool_size: _Pair


class Addition(_Layer):
    """Of two inputs of one shape."""

    inputs: tuple[_Name, _Name]
    kind: Literal["Add"]


class Concatenation(_Layer):
    """Of the inputs' channels."""

    inputs: Annotated[tuple[_Name, ...], Field(min_length=2)]
    kind: Literal["Concatenate"]
    axis: Literal[3]


class Flattening(_OfOne):
    """Channels last, as they are in the weights that follow."""

    kind: Literal["Flatten"]
    data_format: _ChannelsLast


class Dense(_OfOne):
    """Every input to every output."""

    kind: Literal["Dense"]
    units: _Count
    activation: Literal["relu", "softmax"]
    use_bias: Literal[True]


class Dropout(_OfOne):
    """Does nothing but while a model is trained."""

    kind: Literal["Dropout"]
    rate: float
    noise_shape: None
    seed: None


AnyLayer = (
    Input
    | ZeroPadding
    | Convolution
    | DepthwiseConvolution
    | Normalization
    | Relu
    | Activation
    | Pooling
    | Addition
    | Concatenation
    | Flattening
    | Dense
    | Dropout
)


class _Written(_Part):
    """A layer as the package writes it."""

    class_name: _Name
    name: _Name
    config: dict[str, Any]
    inbound_nodes: Annotated[
        tuple[tuple[tuple[_Name, Literal[0], Literal[0], Annotated[dict[str, Any], Field(max_length=0)]], ...], ...],
        Field(max_length=1),
    ]


def _flat(value: Any) -> Mapping[str, Any]:
    """The layer with its options beside its name, without those of its training."""
    written = _Written.model_validate(value)
    options = {key: option for key, option in written.config.items() if not _TRAINING.fullmatch(key)}
    inputs = tuple(name for node in written.inbound_nodes for name, *_ in node)
    return options | {"kind": written.class_name, "name": written.name, "inputs": inputs}


_End = tuple[tuple[_Name, Literal[0], Literal[0]]]


class _Network(_Part):
    name: _Name
    layers: Annotated[
        tuple[Annotated[AnyLayer, Field(discriminator="kind"), BeforeValidator(_flat)], ...],
        Field(min_length=1, max_length=1000),
    ]
    input_layers: _End
    output_layers: _End


class _Configuration(_Part):
    class_name: Literal["Model"]
    config: _Network


class _Topology(_Part):
    model_config = ConfigDict(extra="ignore")  # who wrote it, and how it was trained

    configuration: Annotated[_Configuration, Field(alias="model_config")]


class Quantization(_Part):
    """A weight is its byte times ``scale`` plus ``min``."""

    min: _Moderate
    scale: _Moderate
    dtype: Literal["uint8"]


class Weight(_Part):
    """An array in the bytes of its group, behind those that stand before it."""

    name: _Name
    shape: Annotated[tuple[_Count, ...], Field(min_length=1, max_length=4)]
    dtype: Literal["float32"]
    quantization: Quantization


class Group(_Part):
    """Arrays whose bytes are those of ``paths``, one after another."""

    paths: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=20)]
    weights: Annotated[tuple[Weight, ...], Field(max_length=2000)]


class _Document(_Part):
    topology: Annotated[_Topology, Field(alias="modelTopology")]
    manifest: Annotated[tuple[Group], Field(alias="weightsManifest")]


@dataclass(frozen=True, slots=True)
class Topology:
    """The layers, each behind its inputs, the names of the first and the last one, and where the weights are."""

    layers: tuple[AnyLayer, ...]
    first: str
    last: str
    weights: Group


def read_topology(document: str, name: str) -> Topology:
    """The topology in a JSON ``document``; ``name`` is that of its file, for messages.

    Raises:
        ModelError: there is something in it that is not known here; a line says what and where.
    """
    try:
        read = _Document.model_validate_json(document)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"])) or "the document"
        raise ModelError(f"{name}: {place}: {wrong['msg']} (of {error.error_count()} errors)") from error
    network = read.topology.configuration.config
    return Topology(network.layers, network.input_layers[0][0], network.output_layers[0][0], read.manifest[0])
