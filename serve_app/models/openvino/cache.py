"""Converted models in the user's cache: made once, found by every start.

::

    FOLDER/models/KEY/          a converted model (:mod:`serve_app.models.openvino.conversion`)
    FOLDER/agreements/          records of its agreement (:mod:`serve_app.models.agreement`)

KEY is the digest of the conversion: of everything that decides what the model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.cache_folder import put, with_unfinished
from serve_app.models.openvino.conversion import Conversion, ConvertedModel, read_converted


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
        with_unfinished(folder, write, lambda new: put(new, folder, lambda: self.find(conversion) is not None))
        return folder

    def _folder(self, conversion: Conversion) -> Path:
        return self._models / conversion.digest[:32]


def _read(folder: Path) -> ConvertedModel | None:
    try:
        return read_converted(folder)
    except ModelError:
        return None
