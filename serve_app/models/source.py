"""Where a model comes from, as it stands in the configuration (``model.source``).

==============================  ======================================================================
``ViT-L-14/openai``             an open_clip architecture and one of its pretrained tags, downloaded
``./models/my-clip``            a folder with an open_clip configuration and safetensors, or one that
                                ``pictwarden model convert`` made
``embedded:demo-shapes``        the demo model inside this package: knows drawn shapes, protects nobody
``random:ViT-B-32``             an architecture with random weights: true speed, no meaning; for benchmarks
``fake``                        no weights at all: knows how red, green or blue a view is; for tests
``fake:200ms``                  the same with views of 224 px and a pass that takes this long, whatever its size; for
                                benchmarks
==============================  ======================================================================
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from serve_app.domain import ModelError

EMBEDDED_DEMO = "demo-shapes"
FAKE = "fake"
CONVERTED_FILE = "converted.json"
"""Says of a folder that it holds a converted model, and which."""

_FAKE_PASS = re.compile(r"fake:([1-9]\d{0,4})ms")


@dataclass(frozen=True, slots=True)
class HubModel:
    """An architecture and a pretrained tag that open_clip knows."""

    architecture: str
    tag: str


@dataclass(frozen=True, slots=True)
class FolderModel:
    """A folder with an open_clip configuration and safetensors."""

    folder: Path


@dataclass(frozen=True, slots=True)
class ConvertedFolder:
    """A folder with a converted model: nothing of torch is needed to run it."""

    folder: Path


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """The demo model inside this package."""


@dataclass(frozen=True, slots=True)
class RandomModel:
    """An architecture with random weights."""

    architecture: str


@dataclass(frozen=True, slots=True)
class FakeModel:
    """The engine without weights, for views of ``image_size_px``; a pass sleeps for ``pass_s`` seconds."""

    image_size_px: int = 8
    pass_s: float = 0.0


ModelSource = HubModel | FolderModel | ConvertedFolder | EmbeddedModel | RandomModel | FakeModel


def parse_source(source: str) -> ModelSource:
    """What ``source`` names. No model is read or downloaded.

    Raises:
        ModelError: it names nothing that could be a model.
    """
    if source == FAKE:
        return FakeModel()
    if fake := _FAKE_PASS.fullmatch(source):
        # Views as large as ViT-B-32's and ViT-L-14's, because cutting and sending them is part of what is measured.
        return FakeModel(224, int(fake[1]) / 1e3)
    kind, _, rest = source.partition(":")
    if kind == "embedded":
        if rest != EMBEDDED_DEMO:
            raise ModelError(f"model {source!r}: the only embedded model is 'embedded:{EMBEDDED_DEMO}'")
        return EmbeddedModel()
    if kind == "random" and rest:
        return RandomModel(rest)
    if source.startswith(("./", "../", "/", "~")) or (source and Path(source).is_dir()):
        folder = Path(source).expanduser()
        return ConvertedFolder(folder) if (folder / CONVERTED_FILE).is_file() else FolderModel(folder)
    architecture, slash, tag = source.partition("/")
    if slash and architecture and tag and "/" not in tag:
        return HubModel(architecture, tag)
    raise ModelError(
        f"model {source!r} is neither 'ARCHITECTURE/TAG' (such as ViT-L-14/openai), nor a folder, "
        f"nor 'embedded:{EMBEDDED_DEMO}', nor 'random:ARCHITECTURE'. A folder here is written './name'"
    )


def source_name(source: str) -> str:
    """The model's name, as a policy names it: thresholds belong to it.

    Raises:
        ModelError: as :func:`parse_source`; or a converted folder does not say what it was converted from.
    """
    match parse_source(source):
        case EmbeddedModel():
            return EMBEDDED_DEMO
        case FolderModel(folder):
            return folder.resolve().name
        case ConvertedFolder(folder):
            return _converted_name(folder / CONVERTED_FILE)
        case FakeModel():
            return FAKE  # what it says does not depend on how long it takes
        case HubModel() | RandomModel():
            return source


def source_of(name: str | None) -> str | None:
    """The source of a model that a policy names: the other way round than :func:`source_name`; None for None.

    Raises:
        ModelError: the name is not a source, as that of a folder is not.
    """
    if name is None:
        return None
    if name == EMBEDDED_DEMO:
        return f"embedded:{EMBEDDED_DEMO}"
    with contextlib.suppress(ModelError):
        if source_name(name) == name:
            return name
    raise ModelError(
        f"the model {name!r} cannot be found by its name: give its folder as model.source, or with --model"
    )


def _converted_name(file: Path) -> str:
    """The name of the model that was converted: the policy that was written for it still fits."""
    try:
        return str(json.loads(file.read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} does not say which model was converted: convert again") from error
