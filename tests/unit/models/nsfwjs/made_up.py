"""Made-up models in the package's own form: topology and weights in minified scripts, in a compressed tar file."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALE, LEAST = 0.0078125, -1.0
"""A byte of a made-up weight is worth -1 .. 0.992 in steps that float32 has."""

FloatArray = NDArray[np.float32]

# As the package's scripts begin and end.
_BEFORE = (
    '!function(e){if("object"==typeof exports&&"undefined"!=typeof module)module.exports=e();else{self.model=e()}}'
    "(function(){return function e(a,n,i){var r=n[_]={exports:{}};return n[_].exports}({1:[function(e,a,n){a.exports="
)
_BEHIND = "},{}]},{},[1])(1)});"


def layer(kind: str, name: str, *inputs: str, **options: Any) -> dict[str, Any]:
    """A layer with ``options`` beside those that only training asks for."""
    config = {"name": name, "trainable": True, "kernel_initializer": {"class_name": "Zeros", "config": {}}, **options}
    nodes = [[[each, 0, 0, {}] for each in inputs]] if inputs else []
    return {"name": name, "class_name": kind, "config": config, "inbound_nodes": nodes}


def pictures(height_px: int = 5, width_px: int = 6) -> dict[str, Any]:
    return layer("InputLayer", "in", batch_input_shape=[None, height_px, width_px, 3], dtype="float32", sparse=False)


def flatten(name: str, source: str) -> dict[str, Any]:
    return layer("Flatten", name, source, data_format="channels_last")


def dense(name: str, source: str, units: int, activation: str = "softmax") -> dict[str, Any]:
    return layer("Dense", name, source, units=units, activation=activation, use_bias=True)


def conv(name: str, source: str, filters: int, **changed: Any) -> dict[str, Any]:
    options = {
        "filters": filters,
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "activation": "linear",
        "use_bias": False,
    }
    return layer("Conv2D", name, source, **(options | changed))


def quantised(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def worth(array: NDArray[np.uint8]) -> FloatArray:
    return array.astype(np.float32) * np.float32(SCALE) + np.float32(LEAST)


def document(
    layers: Sequence[dict[str, Any]],
    weights: Mapping[str, NDArray[np.uint8]],
    paths: Sequence[str] = ("shard",),
) -> dict[str, Any]:
    """The topology and the manifest, as in ``model.min.js``."""
    network = {
        "name": "model_1",
        "layers": layers,
        "input_layers": [[layers[0]["name"], 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    quantization = {"min": LEAST, "scale": SCALE, "dtype": "uint8"}
    described = [
        {"name": name, "shape": list(array.shape), "dtype": "float32", "quantization": quantization}
        for name, array in weights.items()
    ]
    configuration = {"class_name": "Model", "config": network}
    topology = {"keras_version": "2.2.4", "model_config": configuration, "training_config": None}
    return {"modelTopology": topology, "weightsManifest": [{"paths": list(paths), "weights": described}]}


def minified(value: Any) -> str:
    """The literal as a minifier writes it: keys without quotes, ``!0``, ``.5``."""
    match value:
        case bool():
            return f"!{int(not value)}"
        case float():
            return re.sub(r"^(-?)0\.", r"\1.", repr(value))
        case list() | tuple():
            return f"[{','.join(map(minified, value))}]"
        case dict():
            return "{" + ",".join(f"{_key(key)}:{minified(inner)}" for key, inner in value.items()) + "}"
        case _:
            return json.dumps(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_$][\w$]*", key) else json.dumps(key)


def script(value: Any) -> str:
    return _BEFORE + minified(value) + _BEHIND


def weight_script(body: bytes) -> str:
    return _BEFORE + f'"{base64.b64encode(body).decode("ascii")}"' + _BEHIND


def tiny_model(size_px: int) -> tuple[dict[str, Any], dict[str, NDArray[np.uint8]]]:
    """A whole model with two weights shards, five outputs, and pictures of ``size_px``."""
    layers = [
        pictures(size_px, size_px),
        conv("conv", "in", 2),
        flatten("flat", "conv"),
        dense("dense", "flat", 5),
    ]
    weights = {
        "conv/kernel": quantised(1, 3, 3, 3, 2),
        "dense/kernel": quantised(2, size_px * size_px * 2, 5),
        "dense/bias": quantised(3, 5),
    }
    return document(layers, weights, ("group1-shard1of2", "group1-shard2of2")), weights


def package(models: Mapping[str, int], **changed: str) -> bytes:
    """The package's file with a tiny model in each folder, for pictures of so many pixels.

    ``changed`` has other contents for files of a model, by the part of their name before the point.
    """
    files = {"LICENSE": "Anybody may copy this.\n"}
    for folder, size_px in models.items():
        described, weights = tiny_model(size_px)
        body = b"".join(array.tobytes() for array in weights.values())
        scripts = {
            "model": script(described),
            "group1-shard1of2": weight_script(body[:50]),
            "group1-shard2of2": weight_script(body[50:]),
        }
        files |= {f"dist/models/{folder}/{name}.min.js": text for name, text in (scripts | changed).items()}
    return tarred(files)


def tarred(files: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode("utf-8")))
    return gzip.compress(raw.getvalue(), mtime=0)
