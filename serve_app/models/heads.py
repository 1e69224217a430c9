"""Heads: linear classifiers over a model's embedding, each in a safetensors file that ``pictwarden train`` writes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import HEAD_DIGEST_CHARS, HeadFile, ModelError, ModelIdentity
from serve_app.host.extras import how_to_install

SUFFIX = ".safetensors"

Directions = Callable[[int], NDArray[np.float32]]
"""Given the width of a model's embedding, the directions in it to which an engine also gives cosines: float32,
``(directions, width)``, each of length one."""

_SCHEMA = 1
_KEY = "pictwarden"


@dataclass(frozen=True, slots=True)
class Head:
    """A probability from an embedding: ``sigmoid(scale * cosine + bias)``, the cosine being that to ``direction``.

    ``direction`` is float32, ``(width,)``, of length one. ``model`` and ``model_digest`` are the name and the digest of
    the weights whose embedding it reads. ``trained_on`` says for people on what it was trained.
    """

    model: str
    model_digest: str
    direction: NDArray[np.float32]
    scale: float
    bias: float
    trained_on: Mapping[str, str]

    def probabilities(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32, of the shape of ``cosines``, each in 0..1."""
        # exp() of at most 0 on either side, so that nothing overflows.
        logits = self.scale * cosines.astype(np.float64) + self.bias
        smaller = np.exp(-np.abs(logits))
        return np.where(logits >= 0, 1 / (1 + smaller), smaller / (1 + smaller)).astype(np.float32)

    def require_model(self, name: str, identity: ModelIdentity) -> None:
        """Refuse another embedding than the one that the head, which people know by ``name``, was trained on.

        Raises:
            ModelError: the weights are others. Those of a converted model are the original's.
        """
        if identity.weights_digest != self.model_digest:
            raise ModelError(
                f"the head {name} was trained on {self.model}@{self.model_digest[:12]}, and the loaded model is "
                f"{identity.name}@{identity.weights_digest[:12]}: load that model, or train the head again on this one"
            )


def write_head(file: Path, head: Head) -> str:
    """Write a new file, whole or not at all, and return its sha256 (hex).

    Raises:
        ModelError: safetensors is not installed.
        OSError: the file is there already, or cannot be written.
    """
    safetensors = _safetensors()
    tensors = {"direction": head.direction, "scale_and_bias": np.array([head.scale, head.bias], np.float64)}
    description = {
        "schema": _SCHEMA,
        "model": head.model,
        "model_digest": head.model_digest,
        "trained_on": dict(head.trained_on),
    }
    content: bytes = safetensors.save(tensors, metadata={_KEY: json.dumps(description, sort_keys=True)})
    with tempfile.NamedTemporaryFile(prefix=".unfinished-", dir=file.parent) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
        Path(stream.name).chmod(0o644)  # a service may run as another user
        os.link(stream.name, file)
    return hashlib.sha256(content).hexdigest()


def read_head(of: HeadFile) -> Head:
    """The head in a file.

    Raises:
        ModelError: it is not there, or another one; or safetensors is not installed.
    """
    return parse_head(read_head_bytes(of), str(of.file))


def read_head_bytes(of: HeadFile) -> bytes:
    """The content of the file that a policy names; needs no safetensors.

    Raises:
        ModelError: it is not there, or another one.
    """
    file = of.file
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        why = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise ModelError(
            f"the head {file} cannot be read ({why}): copy it there, on every machine that scores"
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if not actual.startswith(of.digest):
        raise ModelError(
            f"the head {file} is not the one that the policy names: its sha256 is {actual}, and {of.digest} is wanted. "
            f"Copy the right file, or write digest: {actual[:HEAD_DIGEST_CHARS]} and measure its threshold again"
        )
    return content


def parse_head(content: bytes, name: str) -> Head:
    """The head in the content of a file, which may be a stranger's; people know it by ``name``.

    Raises:
        ModelError: it is none; or safetensors is not installed.
    """
    safetensors = _safetensors()
    try:
        return _parsed(safetensors.load(content), _description(content))
    except Exception as error:  # safetensors has its own tree of errors, which only it exports
        raise ModelError(f"{name} is no head that `pictwarden train` has written") from error


def directions_of(heads: Mapping[str, Head]) -> Directions:
    """The directions of heads, in their order.

    Raises:
        ModelError: of the result, when a head was trained on an embedding of another width.
    """

    def of_width(width: int) -> NDArray[np.float32]:
        for label, head in heads.items():
            if head.direction.shape != (width,):
                raise ModelError(
                    f"{label} was trained on {head.model}, whose embedding has {len(head.direction)} numbers, and the "
                    f"loaded model's has {width}: load that model, or train the head again"
                )
        return np.stack([head.direction for head in heads.values()]) if heads else no_directions(width)

    return of_width


def no_directions(width: int) -> NDArray[np.float32]:
    """None: cosines to the labels alone."""
    return np.empty((0, width), np.float32)


def embedding_labels(width: int) -> tuple[str, ...]:
    """The labels of an embedding's numbers, where these are recorded as scores."""
    return tuple(f"embedding/{place}" for place in range(width))


def every_direction(width: int) -> NDArray[np.float32]:
    """All axes of the embedding, to which the cosines are the embedding itself."""
    return np.eye(width, dtype=np.float32)


def _parsed(tensors: Mapping[str, NDArray[np.generic]], description: Mapping[str, Any]) -> Head:
    direction = tensors["direction"].astype(np.float32)
    scale, bias = (float(each) for each in tensors["scale_and_bias"])
    trained_on = description["trained_on"]
    is_whole = direction.ndim == 1 and np.isfinite([*direction, scale, bias]).all() and isinstance(trained_on, dict)
    model, model_digest = str(description["model"]), str(description["model_digest"])
    # Both are told to people.
    if description["schema"] != _SCHEMA or not is_whole or not (model + model_digest).isprintable():
        raise ValueError("another form of head")
    return Head(model, model_digest, direction, scale, bias, trained_on)


def _description(content: bytes) -> Mapping[str, Any]:
    """The metadata, which safetensors reads only from files: JSON behind its length in eight bytes."""
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    description: Mapping[str, Any] = json.loads(header["__metadata__"][_KEY])
    return description


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModelError(f"heads need safetensors, which is not installed: {how_to_install('clip')}") from error
    return safetensors.numpy
