"""open_clip, imported without what serving never uses of the libraries behind it. Import it from here.

torchvision would open and cut pictures, and brings torch's compiler, sympy and triton: 160 MB and two seconds. timm has
the image towers of some architectures, the demo model's among them, and is imported for those only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch

from serve_app.models.deferred import import_without


def _import_timm(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    with _without_compiler():
        return import_without(name, "torchvision")


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """Within, ``torch.compiler.disable`` does nothing.

    It keeps a function from torch's compiler, which nothing here uses, and imports the compiler to do so.
    """

    def disable(fn: Callable[..., Any] | None = None, *_: object, **__: object) -> Callable[..., Any]:
        return (lambda decorated: decorated) if fn is None else fn

    real, torch.compiler.disable = torch.compiler.disable, disable
    try:
        yield
    finally:
        torch.compiler.disable = real


def _import_open_clip() -> ModuleType:
    # transformers looks which libraries there are and shapes itself after them: it is not to meet stand-ins.
    if "open_clip" in sys.modules or importlib.util.find_spec("transformers"):
        return importlib.import_module("open_clip")
    return import_without("open_clip", "torchvision", "timm", later=_import_timm)


open_clip: Any = _import_open_clip()
