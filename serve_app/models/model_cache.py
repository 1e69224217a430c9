"""Quantised models and the records of their agreement, in a folder: made once, used by every start.

::

    FOLDER/models/KEY/model.xml, model.bin, manifest.json
    FOLDER/agreements/KEY-POLICY.json

KEY is the digest of the recipe: of everything that decides what the model computes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

MODEL_FILE = "model.xml"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a quantised model is made of, and by what. ``model_digest`` is that of the weights; versions as installed.

    ``schema`` is raised when :mod:`serve_app.models.quantise` comes to make another model of the same.
    """

    model_digest: str
    calibration: str
    openvino: str
    nncf: str
    engine: str = "openvino-int8"
    schema: int = 2

    @property
    def digest(self) -> str:
        """sha256 (hex): the identity of the quantised model, which is another one than the model it is made of."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode("ascii")).hexdigest()


def default_cache_folder() -> Path:
    """Where the user's caches are (XDG Base Directory Specification), in a folder of our own."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pictwarden"


class ModelCache:
    """The models of one folder. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._models = folder / "models"

    def find(self, recipe: Recipe) -> Path | None:
        """The model's file, if it is there, whole, and made by this very recipe."""
        folder = self._folder(recipe)
        return folder / MODEL_FILE if _is_whole(folder, recipe) else None

    def make(self, recipe: Recipe, write: Callable[[Path], None]) -> Path:
        """The model's file, made anew by ``write``, which is given the path to write to.

        What is there is replaced; a process that ends halfway leaves nothing that would be taken for a model.
        """
        self._models.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self._models))
        try:
            write(unfinished / MODEL_FILE)
            manifest = {**asdict(recipe), "files": _digests(unfinished)}
            (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
            return self._put(unfinished, recipe)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _put(self, finished: Path, recipe: Recipe) -> Path:
        folder = self._folder(recipe)
        while True:
            try:
                # A folder is not renamed over one that has files, so a neighbour's model is never torn.
                finished.rename(folder)
            except OSError:
                if self.find(recipe):  # made by a neighbour at the same time, which is as good
                    break
                if not folder.exists():
                    raise
                # Moved away first: a start that comes in between finds nothing, and never half of something.
                broken = Path(tempfile.mkdtemp(prefix=".broken-", dir=self._models))
                folder.rename(broken)
                shutil.rmtree(broken)
            else:
                break
        return folder / MODEL_FILE

    def _folder(self, recipe: Recipe) -> Path:
        return self._models / recipe.digest[:32]


def _is_whole(folder: Path, recipe: Recipe) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        return bool(manifest == {**asdict(recipe), "files": _digests(folder)})
    except (OSError, ValueError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    """sha256 (hex) of every file but the manifest, by name."""
    return {file.name: _digest(file) for file in sorted(folder.iterdir()) if file.name != _MANIFEST}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
