"""The two models of the package that are classifiers here, and where they lie once they are fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serve_app.models.classifier_files import ClassifierFiles, FetchedClassifier, Origin
from serve_app.models.nsfwjs.archive import PACKAGE

# Raised when `serve_app.models.nsfwjs` comes to make another model of the same package.
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Variant:
    """A model of the package: the classifier's name, its folder there, and the side of the pictures that it takes.

    ``sha256`` (hex) is that of the ONNX file, which the library ``onnx`` has written alike since version 1.17.
    """

    classifier: str
    folder: str
    view_side_px: int
    sha256: str

    @property
    def origin(self) -> Origin:
        """What its files in the cache are made of."""
        return Origin(self.classifier, str(PACKAGE), PACKAGE.sha256, _SCHEMA)


VARIANTS = (
    Variant("nsfwjs", "mobilenet_v2", 224, "863358c6ad8f89d0736fb0560186238ca47af2b0b3a3a9db66646786bdc4ada4"),
    Variant(
        "nsfwjs-inception", "inception_v3", 299, "382885ef6244ad9a075ab7ab226ff95b2afbdb4f5caaca3c77df4347741b3094"
    ),
)


def require_fetched(variant: Variant, cache_folder: Path | None) -> FetchedClassifier:
    """The variant's files.

    Raises:
        ModelError: they are not there, or not whole.
    """
    return ClassifierFiles(cache_folder).require(variant.origin, PACKAGE.name)
