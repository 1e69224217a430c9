"""The one door to OpenVINO, NNCF and what reads prompts without torch: the extras ``openvino`` and ``openvino-int8``.

OpenVINO and NNCF report their use to Google Analytics as soon as they are imported, and write an identifier into the
home folder, unless their telemetry package is missing. A service that scans pictures reports to nobody: that package is
kept from being imported, which they take for its absence.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any, Literal

from serve_app.domain import ModelError
from serve_app.host.extras import how_to_install

_TELEMETRY = "openvino_telemetry"


@dataclass(frozen=True, slots=True)
class Library:
    """A module of an extra, and its version as installed."""

    module: Any
    version: str


def load_library(name: Literal["openvino", "nncf", "tokenizers", "ftfy"]) -> Library:
    """Import one of what the extras bring. NNCF takes torch with it.

    Raises:
        ModelError: the extra is not installed.
    """
    # None makes every import of that name fail (docs.python.org, "The module cache").
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        module = import_module(name)
    except ImportError as error:
        extra = "openvino-int8" if name == "nncf" else "openvino"
        raise ModelError(
            f"OpenVINO needs the extra {extra!r}, and {error.name} cannot be imported: "
            f"{how_to_install(extra)}, on every node that holds a scorer"
        ) from error
    return Library(module, metadata.version(name))


def compile_model(core: Any, model: Any, properties: Mapping[str, Any]) -> Any:
    """An ``openvino.CompiledModel`` for the CPU, of ``model`` as read or as a path."""
    # In a thread that ends. OpenVINO 2026.4 gives the thread that compiles an alternate stack for signals, and releases
    # its memory later: Python's handlers use that stack, so that Ctrl-C in this thread would end the process.
    with ThreadPoolExecutor(1, thread_name_prefix="compiling") as compiling:
        return compiling.submit(core.compile_model, model, "CPU", dict(properties)).result()
