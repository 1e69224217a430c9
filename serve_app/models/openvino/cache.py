"""Converted models in the user's cache: made once, found by every start.

::

    FOLDER/models/KEY/          a converted model (:mod:`serve_app.models.openvino.conversion`)
    FOLDER/agreements/          records of its agreement (:mod:`serve_app.models.agreement`)

KEY is the digest of the conversion: of everything that decides what the model computes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from serve_app.domain import ModelError
from serve_app.models.openvino.conversion import Conversion, ConvertedModel, read_converted


def default_cache_folder() -> Path:
    """Where the user's caches are (XDG Base Directory Specification), in a folder of our own."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pictwarden"


class ModelCache:
    """The models of one folder. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._models = folder / "models"

    def find(self, conversion: Conversion) -> Path | None:
        """The model's folder, if it is there, whole, and made by this very conversion."""
        folder = self._folder(conversion)
        converted = _read(folder)
        return folder if converted and converted.conversion == conversion else None

    def made_of(self, model_digest: str) -> Iterator[tuple[Path, ConvertedModel]]:
        """Every whole model that is made of these weights, with its folder."""
        for folder in sorted(self._models.glob("[!.]*")):
            converted = _read(folder)
            if converted and converted.conversion.model_digest == model_digest:
                yield folder, converted

    def make(self, conversion: Conversion, write: Callable[[Path], None]) -> Path:
        """The model's folder, made anew by ``write``, which is given the folder to write to.

        What is there is replaced; a process that ends halfway leaves nothing that would be taken for a model.
        """
        folder = self._folder(conversion)
        with_unfinished(folder, write, lambda finished: self._put(finished, conversion))
        return folder

    def _put(self, finished: Path, conversion: Conversion) -> None:
        folder = self._folder(conversion)
        while True:
            try:
                # A folder is not renamed over one that has files, so a neighbour's model is never torn.
                finished.rename(folder)
            except OSError:
                if self.find(conversion):  # made by a neighbour at the same time, which is as good
                    return
                if not folder.exists():
                    raise
                # Moved away first: a start that comes in between finds nothing, and never half of something.
                broken = self._models / f".broken-{uuid4().hex}"
                folder.rename(broken)
                shutil.rmtree(broken)
            else:
                return

    def _folder(self, conversion: Conversion) -> Path:
        return self._models / conversion.digest[:32]


def with_unfinished(target: Path, write: Callable[[Path], None], finish: Callable[[Path], object]) -> None:
    """``write`` to a new folder beside ``target``, then ``finish`` with it; nothing of it stays if either fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not as a temporary folder, which nobody but its maker may read: a service may run as another user.
    unfinished = target.parent / f".unfinished-{uuid4().hex}"
    unfinished.mkdir()
    try:
        write(unfinished)
        finish(unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _read(folder: Path) -> ConvertedModel | None:
    try:
        return read_converted(folder)
    except ModelError:
        return None
