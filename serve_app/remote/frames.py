"""Messages as frames: the kind of a message, a header in JSON, and behind it the numbers of its arrays.

A frame is a stranger's until it is read: every length, shape and number in it is checked against what is there.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from serve_app.domain import MalformedRequestError, ViewPlace
from serve_app.domain.storable_text import printable
from serve_app.remote.messages import (
    BodyWork,
    Examined,
    FromFront,
    FromWorker,
    Hello,
    Message,
    Refused,
    Scored,
    Wanted,
    Work,
)

MAX_HEADER_BYTES: Final = 1024 * 1024
"""The labels of a large policy have a tenth of it."""

MAX_HEADS: Final = 32
MAX_HEAD_BYTES: Final = 16 * 1024
"""Of the file of a head: an embedding of 4,000 numbers. All of them together fit into a header."""

MOST_VIEWS: Final = 4096
"""Of a picture, in an answer: more would take the front's time before they are seen to be too many."""

_MOST_TOLD: Final = 100
"""Characters of a stranger's that an error repeats."""

_PREFIX: Final = struct.Struct(">BI")
_SHAPES: Final = "shapes"
_ARRAYS: Final[Mapping[type[Message], Mapping[str, tuple[type[np.generic], int]]]] = {
    Work: {"pixels": (np.uint8, 4), "faces": (np.uint8, 4)},
    Scored: {"values": (np.float32, 2)},
    BodyWork: {"content": (np.uint8, 1)},
    Examined: {"values": (np.float32, 2), "hashes": (np.uint8, 2)},
}
"""The arrays of the messages that have some: the type of their elements, and how many dimensions they have."""

_Shape = Annotated[tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...], Field(max_length=4)]
_Places = Annotated[tuple[ViewPlace, ...], Field(max_length=MOST_VIEWS)]

_BOUNDED: Final[Mapping[type[Message], Mapping[str, Any]]] = {
    Wanted: {
        "heads": Annotated[
            Mapping[str, Annotated[bytes, Field(max_length=MAX_HEAD_BYTES)]], Field(max_length=MAX_HEADS)
        ]
    },
    Examined: {
        "places": _Places,
        "faces": _Places,
        "readings": Annotated[tuple[tuple[int, int], ...], Field(max_length=MOST_VIEWS)],
    },
}
"""The types of attributes that have to be smaller than the header that they are in."""

# A kind is a place here: what is added comes last.
_ADDED: Final[tuple[type[Message], ...]] = (BodyWork, Examined)
_KINDS: Final[tuple[type[Message], ...]] = (
    *(kind for kind in dict.fromkeys(typing.get_args(Message)) if kind not in _ADDED),
    *_ADDED,
)


# Two versions have to understand each other as far as to say that they do not.
_TOLERANT: Final = (Wanted, Hello, Refused)


def _header_of(message: type[Message]) -> type[BaseModel]:
    hints, arrays = {**get_type_hints(message), **_BOUNDED.get(message, {})}, _ARRAYS.get(message, {})
    plain: dict[str, Any] = {
        each.name: (hints[each.name], ... if each.default is dataclasses.MISSING else each.default)
        for each in dataclasses.fields(message)
        if each.name not in arrays
    }
    if arrays:
        plain[_SHAPES] = (tuple[_Shape, ...], ...)
    extra: Literal["ignore", "forbid"] = "ignore" if message in _TOLERANT else "forbid"
    config = ConfigDict(extra=extra, allow_inf_nan=False, ser_json_bytes="base64", val_json_bytes="base64")
    return create_model(message.__name__, __config__=config, **plain)


_HEADERS: Final[Mapping[type[Message], type[BaseModel]]] = {kind: _header_of(kind) for kind in _KINDS}


def packed(message: Message) -> bytes:
    """The frame of a message."""
    kind = type(message)
    arrays = {
        name: np.ascontiguousarray(getattr(message, name), dtype) for name, (dtype, _) in _ARRAYS.get(kind, {}).items()
    }
    plain = {each.name: getattr(message, each.name) for each in dataclasses.fields(kind) if each.name not in arrays}
    if arrays:
        plain[_SHAPES] = tuple(array.shape for array in arrays.values())
    header = _HEADERS[kind](**plain).model_dump_json().encode()
    return b"".join((_PREFIX.pack(_KINDS.index(kind), len(header)), header, *(array.data for array in arrays.values())))


def from_front(frame: bytes) -> FromFront:
    """The message of a frame that a front sent.

    Raises:
        MalformedRequestError: it is none.
    """
    message = _unpacked(frame)
    if not isinstance(message, FromFront):
        raise MalformedRequestError(f"a front does not send {type(message).__name__}")
    return message


def from_worker(frame: bytes) -> FromWorker:
    """The message of a frame that a worker sent.

    Raises:
        MalformedRequestError: it is none.
    """
    message = _unpacked(frame)
    if not isinstance(message, FromWorker):
        raise MalformedRequestError(f"a worker does not send {type(message).__name__}")
    return message


def _unpacked(frame: bytes) -> Message:
    if len(frame) < _PREFIX.size:
        raise MalformedRequestError("a frame without a beginning")
    number, header_bytes = _PREFIX.unpack_from(frame)
    end = _PREFIX.size + header_bytes
    if number >= len(_KINDS) or header_bytes > MAX_HEADER_BYTES or end > len(frame):
        raise MalformedRequestError("a frame of no known kind, or cut off")
    kind = _KINDS[number]
    try:
        header = _HEADERS[kind].model_validate_json(frame[_PREFIX.size : end])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = printable(".".join(map(str, first["loc"]))[:_MOST_TOLD])
        raise MalformedRequestError(f"{kind.__name__}: {where}: {first['msg']}") from None
    values = {name: getattr(header, name) for name in type(header).model_fields if name != _SHAPES}
    shapes = getattr(header, _SHAPES, ())
    message: Message = kind(**values, **_arrays(kind, shapes, frame, end))
    return message


def _arrays(kind: type[Message], shapes: tuple[tuple[int, ...], ...], frame: bytes, start: int) -> dict[str, Any]:
    wanted = _ARRAYS.get(kind, {})
    if len(shapes) != len(wanted):
        raise MalformedRequestError(f"{kind.__name__}: {len(shapes)} arrays")
    arrays: dict[str, Any] = {}
    for (name, (dtype, dimensions)), shape in zip(wanted.items(), shapes, strict=True):
        size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if len(shape) != dimensions or max(shape) > len(frame) or size_bytes > len(frame) - start:
            raise MalformedRequestError(f"{kind.__name__}: {name}: {shape} is no shape of what was sent")
        arrays[name] = np.frombuffer(frame, dtype, math.prod(shape), start).reshape(shape)
        start += size_bytes
    if start != len(frame):
        raise MalformedRequestError(f"{kind.__name__}: {len(frame) - start} bytes too many")
    return arrays
