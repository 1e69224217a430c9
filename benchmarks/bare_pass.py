"""The model's forward pass and nothing else: what the service is measured against.

A process of its own opens the engine that the service has, on the same cores, while the service is idle.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.processes import measured_apart, pss_bytes
from serve_app.models.engine import Engine
from serve_app.models.factory import OPENVINO_INT8, open_engine, open_quantised
from serve_app.models.openvino.quantisation_views import QuantisationViews

MAX_BATCH_VIEWS = 32

# A device of its own is at its best with larger batches than a CPU. As many as a configuration may ask for.
_MAX_BATCH_VIEWS_AHEAD = 128

_LABELS = ("a photo",)
_LEAST_PASSES = 3

# As in the service: a batch whose pass takes a quarter of the deadline is never formed.
_MAX_PASS_S = 2.0


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """Views a second of one batch size, and milliseconds of processor time a view."""

    views_per_s: float
    core_ms: float = 0.0


Rates = Mapping[int, Rate]
"""By batch size."""


@dataclass(frozen=True, slots=True)
class BarePass:
    """What is measured.

    Attributes:
        source: of the model.
        engine: see :func:`serve_app.models.factory.open_engine`; ``openvino-int8`` is opened without a record of its
            agreement, quantised with drawn pictures.
        environment: set before torch is imported, such as what limits the instructions that are used.
        duration_s: seconds for each batch size, or three passes if those take longer.
        max_batch_views: the largest batch; by default 32 on a CPU, and 128 where batches are uploaded ahead.
    """

    source: str
    engine: str = "auto"
    environment: Mapping[str, str] = field(default_factory=dict)
    duration_s: float = 1.5
    max_batch_views: int | None = None


def measure(wanted: BarePass) -> tuple[dict[int, Rate], int]:
    """The sustained rate of passes one behind the other, in a process of its own, and that process's bytes (PSS)."""
    return measured_apart(_measure, wanted)


def best_of_each(measurements: Sequence[Rates]) -> dict[int, Rate]:
    """The highest rate of several measurements, for each batch size that any has."""
    sizes = sorted({size for each in measurements for size in each})
    return {size: max(each[size] for each in measurements if size in each) for size in sizes}


def best_of(measurements: Sequence[Rates]) -> tuple[int, Rate]:
    """The batch size with the highest rate in any measurement, and that rate."""
    return max(best_of_each(measurements).items(), key=lambda each: each[1])


def sustained_rates(engine: Engine, duration_s: float, max_batch_views: int | None = None) -> dict[int, Rate]:
    """The rates of ``engine``. As in the service, it uploads the next batch beside the pass where it can do that."""
    largest = max_batch_views or (_MAX_BATCH_VIEWS_AHEAD if engine.uploads_ahead else MAX_BATCH_VIEWS)
    side_px = engine.identity.image_size_px
    rates: dict[int, Rate] = {}
    for size in engine.warm_up(largest, _MAX_PASS_S):
        pixels = np.random.default_rng(size).integers(0, 256, (size, side_px, side_px, 3), dtype=np.uint8)
        passes, started_s, cpu_s = 0, time.perf_counter(), time.process_time()
        with _passes(engine, pixels) as run_pass:
            while passes < _LEAST_PASSES or time.perf_counter() - started_s < duration_s:
                run_pass()
                passes += 1
            views = passes * size
            core_ms = 1e3 * (time.process_time() - cpu_s) / views
            rates[size] = Rate(views / (time.perf_counter() - started_s), core_ms)
    return rates


@contextlib.contextmanager
def _passes(engine: Engine, pixels: NDArray[np.uint8]) -> Iterator[Callable[[], object]]:
    """What runs one pass of ``pixels``."""
    if not engine.uploads_ahead:
        yield lambda: engine.encode(pixels)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="upload") as uploading:
        ahead = uploading.submit(engine.upload, list(pixels))

        def run_pass() -> None:
            nonlocal ahead
            uploaded = ahead.result()
            ahead = uploading.submit(engine.upload, list(pixels))
            engine.encode(uploaded)

        yield run_pass
        engine.encode(ahead.result())  # a uploaded batch has its place on the device until it has been computed


def _measure(wanted: BarePass) -> tuple[dict[int, Rate], int]:
    os.environ.update(wanted.environment)
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of random weights, which are asked for here
    engine: Engine
    if wanted.engine == OPENVINO_INT8:
        engine, _ = open_quantised(
            wanted.source, _LABELS, lambda _: QuantisationViews.drawn(), None, None, lambda *_: None
        )
    else:
        engine = open_engine(wanted.source, _LABELS, engine=wanted.engine)
    return sustained_rates(engine, wanted.duration_s, wanted.max_batch_views), pss_bytes(psutil.Process())
