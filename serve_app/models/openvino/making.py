"""Models converted, where torch is installed: into the cache, or into a folder that is taken elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from serve_app.domain import ModelError
from serve_app.logs import EventLogger
from serve_app.models.agreement import Agreements, PolicyReference, require_agreement
from serve_app.models.cache_folder import default_cache_folder, with_unfinished
from serve_app.models.load import LoadedModel, load_model
from serve_app.models.openvino.cache import ModelCache
from serve_app.models.openvino.conversion import Conversion, Precision, read_converted
from serve_app.models.openvino.engine import OpenVinoEngine
from serve_app.models.openvino.export import OnProgress, export
from serve_app.models.openvino.folder import log_agreement, open_converted, open_folder
from serve_app.models.openvino.quantisation_views import QuantisationViews
from serve_app.models.openvino.runtime import load_library
from serve_app.models.registry import EngineSpec
from serve_app.models.source import ConvertedFolder, parse_source

logger = EventLogger(__name__)

_LOGGED_STEP = 0.1


def convert(
    source: str,
    precision: Precision,
    give_views: Callable[[int], QuantisationViews],
    cache_folder: Path | None,
    output: Path | None,
    on_progress: OnProgress,
) -> Path:
    """See :func:`serve_app.models.factory.convert_model`."""
    model = load_model(source)
    views = give_views(model.identity.image_size_px) if precision == "int8" else None
    conversion = _conversion(model, precision, views)
    if output is None:
        return _cached(model, conversion, views, cache_folder, on_progress)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        write = _writer(model, conversion, views, on_progress)
        with_unfinished(output, write, lambda finished: finished.rename(output))
    elif not _holds(output, conversion):
        raise ModelError(f"{output} holds something else already: name another --output, or take it away first")
    return output


def open_quantised(
    source: str,
    labels: Sequence[str],
    give_views: Callable[[int], QuantisationViews],
    cache_folder: Path | None,
    cpu_threads: int | None,
    on_progress: OnProgress,
) -> tuple[OpenVinoEngine, Conversion]:
    """See :func:`serve_app.models.factory.open_quantised`."""
    folder = convert(source, "int8", give_views, cache_folder, None, on_progress)
    converted = read_converted(folder)
    return open_converted(folder, converted, labels, cpu_threads), converted.conversion


def open_agreed(spec: EngineSpec) -> OpenVinoEngine:
    """The quantised engine whose agreement under the policy was recorded last; converted anew if the cache lost it.

    Raises:
        ModelError: the model or the extra is not there; or there is no record, or it is not enough.
    """
    if isinstance(parse_source(spec.source), ConvertedFolder):
        return open_folder(spec)
    spec.refuse_heads()
    if spec.policy is None:
        raise ModelError("openvino-int8 starts for a policy only, with which its agreement was recorded")
    model = load_model(spec.source)
    cache_folder = spec.cache_folder or default_cache_folder()
    versions = load_library("openvino").version, load_library("nncf").version
    command = _command(spec.source, spec.policy, spec.cache_folder)
    found = Agreements(cache_folder).latest_quantised(model.identity.digest, spec.policy.digest, *versions)
    record = require_agreement(found, command)
    views = QuantisationViews(record.conversion.calibration)
    if not views.is_drawn and ModelCache(cache_folder).find(record.conversion) is None:
        raise ModelError(
            f"openvino-int8 does not start: the model that was compared is not in {cache_folder} any more, and the "
            f"views that it was quantised with ({views.name}) cannot be drawn. "
            f"Compare again: {command} --quantise-with PHOTOGRAPHS"
        )
    log_agreement(spec.source, record)
    folder = _cached(model, record.conversion, views, cache_folder, _LogProgress(spec.source))
    return open_converted(folder, read_converted(folder), spec.labels, spec.cpu_threads, spec.directions)


def _conversion(model: LoadedModel, precision: Precision, views: QuantisationViews | None) -> Conversion:
    nncf = load_library("nncf").version if precision == "int8" else ""
    name = views.name if views else ""
    return Conversion(model.identity.digest, precision, name, load_library("openvino").version, nncf)


def _cached(
    model: LoadedModel,
    conversion: Conversion,
    views: QuantisationViews | None,
    cache_folder: Path | None,
    on_progress: OnProgress,
) -> Path:
    cache = ModelCache(cache_folder or default_cache_folder())
    return cache.find(conversion) or cache.make(conversion, _writer(model, conversion, views, on_progress))


def _writer(
    model: LoadedModel, conversion: Conversion, views: QuantisationViews | None, on_progress: OnProgress
) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        size_px = model.identity.image_size_px
        pixels = views.views(size_px) if views else np.empty((0, size_px, size_px, 3), np.uint8)
        export(model, conversion, pixels, folder, on_progress)

    return write


def _holds(folder: Path, conversion: Conversion) -> bool:
    try:
        return read_converted(folder).conversion == conversion
    except ModelError:
        return False


def _command(source: str, policy: PolicyReference, cache_folder: Path | None) -> str:
    words = ["pictwarden", "model", "compare", "FOLDER", "--model", source, "--policy", policy.source]
    return shlex.join(words + (["--cache-folder", str(cache_folder)] if cache_folder else []))


class _LogProgress:
    """A line for each step and each tenth of it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._last = ("", 0.0)

    def __call__(self, step: str, share: float) -> None:
        if step != self._last[0] or share >= self._last[1] + _LOGGED_STEP:
            self._last = (step, share)
            text = f"openvino-int8 of {self._source}: {step}, {share * 100:.0f} %"
            logger.info("model_converting", text, source=self._source, step=step, share=share)
