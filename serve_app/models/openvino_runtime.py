"""The one door to OpenVINO and to NNCF, which quantises for it: both come with the extra ``pictwarden[openvino]``.

Both report their use to Google Analytics as soon as they are imported, and write an identifier into the home folder,
unless their telemetry package is missing. What looks at pictures reports to nobody: that package is kept from being
imported, which both take for its absence.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from serve_app.domain import ModelError

_TELEMETRY = "openvino_telemetry"


@dataclass(frozen=True, slots=True)
class Runtime:
    """The two modules, and their versions as installed."""

    openvino: Any
    nncf: Any
    openvino_version: str
    nncf_version: str


def load_runtime() -> Runtime:
    """Import both.

    Raises:
        ModelError: the extra is not installed.
    """
    # None makes every import of that name fail (docs.python.org, "The module cache").
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        openvino, nncf = import_module("openvino"), import_module("nncf")
    except ImportError as error:
        raise ModelError(
            f"the engine openvino-int8 needs the extra 'openvino', and {error.name} cannot be imported: "
            "`make openvino` in a clone, or pip install 'pictwarden[openvino]', on every node that holds a scorer"
        ) from error
    return Runtime(openvino, nncf, metadata.version("openvino"), metadata.version("nncf"))
