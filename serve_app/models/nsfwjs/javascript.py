"""The one literal that a bundled script exports, read as data. Nothing is executed, and nothing but a literal is read.

The package wraps each file of a model in a script: ``…exports={modelTopology:{keras_version:"2.2.4",…`` and
``…exports="YkKNg8xp…"``. Literals are minified: keys without quotes, ``!0`` for true, ``.5`` for 0.5.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

from serve_app.domain import ModelError

_START = re.compile(r"\.exports=(?=[{\"])")
_TEXT = re.compile(r'"([A-Za-z0-9+/]*={0,2})"')
_TOKEN = re.compile(
    r"""
      (?P<key>[A-Za-z_$][\w$]*)(?=:)
    | (?P<text>"[^"\\\x00-\x1f]*")
    | (?P<number>-?(?:(?:0|[1-9]\d{0,18})(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?)(?![\w.$])
    | (?P<word>null|!0|!1)(?![\w$])
    | (?P<mark>[{}\[\],:])
    """,
    re.VERBOSE | re.ASCII,
)
_WORDS = {"null": "null", "!0": "true", "!1": "false"}

_MAX_DEPTH = 32


def exported_json(script: str, name: str) -> str:
    """The exported object literal as JSON; ``name`` is the script's, for messages.

    What is between the tokens is left to the reader of the JSON.

    Raises:
        ModelError: with line and column: the script exports no literal or several, or there is more in it than objects,
            arrays, texts without escapes, numbers, true, false and null.
    """
    position = _start(script, name)
    found: list[str] = []
    depth = 0
    while depth or not found:
        token = _TOKEN.match(script, position)
        if token is None:
            raise ModelError(
                f"{_place(script, name, position)}: not part of a literal: {script[position : position + 20]!r}"
            )
        written = token[0]
        match token.lastgroup:
            case "key":
                found.append(f'"{written}"')
            case "number":
                # JSON has no number that begins or ends with its point.
                found.append(json.dumps(float(written)) if re.search("[.eE]", written) else written)
            case "word":
                found.append(_WORDS[written])
            case _:
                found.append(written)
        depth += (written in "{[") - (written in "}]")
        if depth > _MAX_DEPTH:
            raise ModelError(f"{_place(script, name, position)}: more than {_MAX_DEPTH} values inside each other")
        position = token.end()
    _require_end(script, name, position)
    return "".join(found)


def exported_bytes(script: str, name: str) -> bytes:
    """What the exported string literal holds in base64; ``name`` is the script's, for messages.

    Raises:
        ModelError: with line and column: the script exports no literal or several, or it is not base64.
    """
    position = _start(script, name)
    literal = _TEXT.match(script, position)
    try:
        if literal is None:
            raise ModelError(f"{_place(script, name, position)}: not a text in base64")
        body = base64.b64decode(literal[1], validate=True)
    except binascii.Error as error:
        raise ModelError(f"{_place(script, name, position)}: not a text in base64: {error}") from error
    _require_end(script, name, literal.end())
    return body


def _start(script: str, name: str) -> int:
    found = [match.end() for match in _START.finditer(script)]
    if len(found) != 1:
        raise ModelError(f"{name}:1:1: the script exports {len(found)} literals, and one is expected")
    return found[0]


def _require_end(script: str, name: str, position: int) -> None:
    """A literal that is only the beginning of an expression has another value."""
    if not script.startswith("}", position):
        raise ModelError(f"{_place(script, name, position)}: more than a literal is exported")


def _place(script: str, name: str, position: int) -> str:
    line = script.count("\n", 0, position) + 1
    return f"{name}:{line}:{position - script.rfind(chr(10), 0, position)}"
