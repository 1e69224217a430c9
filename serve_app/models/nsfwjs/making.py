"""The package's models, made into ONNX files in the cache."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from serve_app.domain import ModelError
from serve_app.host.extras import how_to_install
from serve_app.models.classifier_files import MODEL_FILE, ClassifierFiles, FetchedClassifier
from serve_app.models.nsfwjs.archive import PACKAGE, Archive
from serve_app.models.nsfwjs.javascript import exported_bytes, exported_json
from serve_app.models.nsfwjs.topology import Input, read_topology
from serve_app.models.nsfwjs.variants import VARIANTS, Variant
from serve_app.models.nsfwjs.weights import dequantised
from serve_app.models.packages import OnProgress, read_package

_LICENCE = "LICENSE"
_OUTPUTS = 5


def fetch_nsfwjs(cache_folder: Path | None, given: Path | None, on_progress: OnProgress) -> Sequence[FetchedClassifier]:
    """Both classifiers of the package; those that the cache does not have are made.

    Args:
        cache_folder: as ``model.cache_folder`` in the configuration.
        given: the package's file; without it, npm fetches it.
        on_progress: called with each step.

    Raises:
        ModelError: the package cannot be fetched or is another one, the library ``onnx`` is missing, or there is
            something in the package that is not known.
    """
    files = ClassifierFiles(cache_folder)
    found = {variant.classifier: files.find(variant.origin) for variant in VARIANTS}
    missing = [variant for variant in VARIANTS if found[variant.classifier] is None]
    if missing:
        if importlib.util.find_spec("onnx") is None:
            raise ModelError(
                f"{PACKAGE} is made into ONNX files by a library that is missing: {how_to_install('nsfwjs')}"
            )
        archive = Archive(read_package(PACKAGE, given, on_progress))
    for done, variant in enumerate(missing):
        on_progress(f"making {variant.classifier}", done / len(missing))
        found[variant.classifier] = files.make(variant.origin, _Writer(archive, variant))
    return [each for each in found.values() if each is not None]


class _Writer:
    """Writes the files of one variant into a folder."""

    def __init__(self, archive: Archive, variant: Variant) -> None:
        self._archive = archive
        self._variant = variant

    def __call__(self, folder: Path) -> None:
        model = converted(self._archive, self._variant.folder, self._variant.view_side_px)
        if hashlib.sha256(model).hexdigest() != self._variant.sha256:
            raise ModelError(
                f"onnx {metadata.version('onnx')} writes {self._variant.classifier} into another file than the one that"
                " thresholds are written for: install the version that requirements/ has"
            )
        (folder / MODEL_FILE).write_bytes(model)
        # The licence asks to go with every copy.
        (folder / _LICENCE).write_text(self._archive.text(_LICENCE), "ascii")


def converted(archive: Archive, folder: str, view_side_px: int) -> bytes:
    """The ONNX file of one model, ``folder`` being its folder in the package.

    Raises:
        ModelError: there is something in it that is not known, or it takes views of another size.
    """
    # The library takes a quarter of a second to import, and whoever finds the files in the cache needs none of it.
    from serve_app.models.nsfwjs.graph import onnx_model

    name = f"dist/models/{folder}/model.min.js"
    topology = read_topology(exported_json(archive.text(name), name), name)
    match topology.layers:
        case [Input(batch_input_shape=(_, height_px, width_px, _)), *_] if height_px == width_px == view_side_px:
            scripts = [f"dist/models/{folder}/{path}.min.js" for path in topology.weights.paths]
            body = b"".join(exported_bytes(archive.text(script), script) for script in scripts)
            weights = dequantised(topology.weights, body)
            model: bytes = onnx_model(topology, weights, _OUTPUTS).SerializeToString(deterministic=True)
            return model
        case _:
            raise ModelError(f"{name}: the model does not take pictures of {view_side_px} x {view_side_px} pixels")
