"""What scanning leaves of the uploads a second of a real pict-rs, on the same cores. Starts all that it needs.

pict-rs runs in dummy mode, so that its own programs take nothing of the time: first without validation, then in front
of Pictwarden in one process, then on Ray Serve, each with a ledger and lists. `make e2e` builds pict-rs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks import load
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.checks import validity
from benchmarks.command import Out, Run, Seed, console, give_up
from benchmarks.load import Target
from benchmarks.outcomes import Load, latencies_s, told_percentiles_ms
from benchmarks.pictrs_process import BINARY, MISSING, VERSION, PictrsFailedError, running_process
from benchmarks.processes import cpu_s
from benchmarks.record import Cell, Check, at_least, at_most, table
from benchmarks.servers import NotServedError, Way, ours, running

UPLOADERS = 8
PICTURE_BYTES = 153_000

STORED = 201
"""What pict-rs answers once it has stored an upload."""

_LEAST_SHARE = {Way.ONE_PROCESS: 0.3, Way.RAY: 0.2}

# pict-rs posts a cut body now and then: 13 of 5,741 of 20 KB were, on a busy machine.
_MOST_REFUSED_PERCENT = 1.0

_BOUNDARY = "pictwarden-benchmark"
_HEAD = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="images[]"; filename="a"\r\n\r\n'.encode()
_END = f"\r\n--{_BOUNDARY}--\r\n".encode()

FORM_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"
"""The content type of :func:`form_of`."""

_RATES = {"uploads/s": 0, "of the rate without": 2, "p50 ms": 1, "p99 ms": 1, "not stored": 0}
_CORES = {"core-ms: pict-rs": 2, "Pictwarden": 2, "the uploaders": 2}
_COLUMNS = {"pict-rs asks": 0, **_RATES, **_CORES}


@dataclass(frozen=True, slots=True)
class Measured:
    """One load of uploads, and the processor time that both have used meanwhile, in seconds."""

    uploads: Load
    pictrs_s: float
    ours_s: float

    @property
    def stored(self) -> int:
        """Uploads that pict-rs answered with an alias."""
        return sum(each.status == STORED for each in self.uploads.outcomes)

    @property
    def per_s(self) -> float:
        """Stored uploads a second."""
        return self.stored / self.uploads.elapsed_s

    @property
    def refused(self) -> int:
        """Uploads that were not stored."""
        return len(self.uploads.outcomes) - self.stored


def bench(
    pictrs: Annotated[
        Path, typer.Option(help="pict-rs's binary. That of `make e2e` is a debug build, which takes more of the cores.")
    ] = BINARY,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 12.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if less of the rate is left than wanted, 2 if pict-rs or a service does not start."""
    if not pictrs.is_file():
        give_up(MISSING)
    run = Run("pictrs", seed, out)
    jpeg = photo_like_jpeg(PICTURE_BYTES, seed)
    try:
        measure = partial(_measured, pictrs, lambda: form_of(unique(jpeg)), duration_s)
        without = measure(None)
        asked = {way: measure(way) for way in _LEAST_SHARE}
    except (NotServedError, PictrsFailedError) as error:
        give_up(str(error))
    loads = {"nobody": without, **{f"Pictwarden, {way}": each for way, each in asked.items()}}
    build = " (a debug build)" if pictrs == BINARY else ""
    note = (
        f"pict-rs {VERSION}{build} in dummy mode; {UPLOADERS} uploaders that never rest, JPEGs of "
        f"{len(jpeg) / 1e3:.0f} KB, none sent twice; preset demo, a SQLite ledger, and the list of the canary. "
        "core-ms: of each upload."
    )
    rows = [_row(name, each, without.per_s) for name, each in loads.items()]
    checks = [*shares(without, asked), *validity([each.uploads for each in loads.values()])]
    run.finish("In front of a real pict-rs", [table("Uploads to pict-rs", _COLUMNS, rows, note)], checks)


def form_of(jpeg: bytes) -> bytes:
    """An upload to pict-rs's ``/image``."""
    return _HEAD + jpeg + _END


def shares(without: Measured, asked: Mapping[Way, Measured]) -> list[Check]:
    """What is left of the rate of uploads ``without`` validation, and whether nearly all of them were stored."""
    left = [
        at_least(f"{way}: of the rate without validation", each.per_s / without.per_s, _LEAST_SHARE[way], digits=2)
        for way, each in asked.items()
    ]
    not_stored = max(each.refused / len(each.uploads.outcomes) for each in (without, *asked.values()))
    return [*left, at_most("uploads that were not stored, at worst", 100 * not_stored, _MOST_REFUSED_PERCENT, "%", 2)]


def _measured(binary: Path, make_body: Callable[[], bytes], duration_s: float, way: Way | None) -> Measured:
    """The uploads to a pict-rs that asks Pictwarden, run in some way, or nobody.

    Raises:
        NotServedError: Pictwarden did not start.
        PictrsFailedError: pict-rs did not.
    """
    with contextlib.ExitStack() as ended, console.status(f"uploads, {way or 'without validation'}"):
        service = ended.enter_context(running(ours(way, "--preset", "demo"))) if way else None
        pictrs = ended.enter_context(running_process(service.url if service else None, binary=binary))
        target = Target(f"{pictrs.url}/image", make_body, FORM_TYPE, service.process if service else None)
        load.at_once(target, UPLOADERS, duration_s / 4)
        process = psutil.Process(pictrs.process.pid)
        before_s = cpu_s(process)
        uploads = load.at_once(target, UPLOADERS, duration_s, f"uploads, {way or 'without validation'}")
        return Measured(uploads, cpu_s(process) - before_s, sum(uploads.service_cpu_s.values()))


def _row(name: str, measured: Measured, rate_without: float) -> list[Cell]:
    uploads = len(measured.uploads.outcomes)
    used_s = (measured.pictrs_s, measured.ours_s, measured.uploads.client_cpu_s)
    return [
        *(name, measured.per_s, measured.per_s / rate_without),
        *told_percentiles_ms(latencies_s(measured.uploads.outcomes), 0.5, 0.99),
        *(measured.refused, *(1e3 * each / uploads for each in used_s)),
    ]
