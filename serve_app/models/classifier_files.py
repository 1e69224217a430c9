"""Files of classifiers that ``pictwarden model fetch`` puts into the cache: whole and of one origin, or not found.

::

    FOLDER/classifiers/NAME-KEY/classifier.json     the origin, and the sha256 of each other file
    FOLDER/classifiers/NAME-KEY/model.onnx          and what else its classifier needs

KEY is the digest of the origin, so two versions of this program may use one cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from serve_app.domain import ModelError
from serve_app.models.cache_folder import default_cache_folder, put, with_unfinished
from serve_app.models.file_digests import digests

MODEL_FILE = "model.onnx"

_DESCRIPTION = "classifier.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """What decides what the files of a classifier are.

    ``package`` is a name and a version; ``package_sha256`` (hex) is that of the file that was fetched. ``schema`` is
    raised when this program comes to make other files of the same package.
    """

    classifier: str
    package: str
    package_sha256: str
    schema: int

    @property
    def digest(self) -> str:
        """sha256 (hex)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class FetchedClassifier:
    """What is in the cache of one classifier: the folder, and the sha256 (hex) of each of its files by name."""

    classifier: str
    folder: Path
    files: Mapping[str, str]

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL_FILE

    @property
    def digest(self) -> str:
        """sha256 (hex) of the ONNX file."""
        return self.files[MODEL_FILE]


@dataclass(frozen=True, slots=True)
class _Description:
    origin: Origin
    files: Mapping[str, str]


_READER = TypeAdapter(_Description)


class ClassifierFiles:
    """The fetched classifiers of one cache folder: the user's, without one. Several processes may use it at once."""

    def __init__(self, cache_folder: Path | None) -> None:
        self._folder = (cache_folder or default_cache_folder()) / "classifiers"

    def find(self, origin: Origin) -> FetchedClassifier | None:
        """The classifier, if it is there, whole, and of this very origin."""
        folder = self._of(origin)
        try:
            described = _READER.validate_json((folder / _DESCRIPTION).read_bytes(), strict=True, extra="forbid")
            if described.origin != origin or described.files != digests(folder, _DESCRIPTION):
                return None
        except (OSError, ValidationError):
            return None
        return FetchedClassifier(origin.classifier, folder, described.files)

    def require(self, origin: Origin, fetched_as: str) -> FetchedClassifier:
        """The classifier.

        Raises:
            ModelError: it is not there, or not whole; ``pictwarden model fetch`` with ``fetched_as`` is the way out.
        """
        if found := self.find(origin):
            return found
        raise ModelError(
            f"classifier {origin.classifier} is not in {self._folder}: run `pictwarden model fetch {fetched_as}`"
        )

    def make(self, origin: Origin, write: Callable[[Path], None]) -> FetchedClassifier:
        """The classifier, made anew by ``write``, which is given the folder to write its files to.

        A process that ends halfway leaves nothing that would be found.
        """
        target = self._of(origin)

        def write_described(folder: Path) -> None:
            write(folder)
            described = _Description(origin, digests(folder, _DESCRIPTION))
            (folder / _DESCRIPTION).write_text(json.dumps(asdict(described), indent=1) + "\n", "utf-8")

        with_unfinished(target, write_described, lambda new: put(new, target, lambda: self.find(origin) is not None))
        return self.require(origin, origin.classifier)

    def _of(self, origin: Origin) -> Path:
        return self._folder / f"{origin.classifier}-{origin.digest[:16]}"
