"""What a look-up among a million and ten million listed pictures costs. No service needed.

One look-up is one picture: its eight hashes among the perceptual entries, on one core, in a file that is mapped. Half
of the pictures are near a listed one. The hashes of the lists lie in one of three ways: *spread* evenly; *clustered*,
as a thousand near-duplicates of each of some pictures, a tenth of them equal; or *crowded*, half of them with the same
value in one band, which is the query's value too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.command import Out, Run, Seed, console
from benchmarks.record import Check, Table, at_most, table
from serve_app.domain import DIHEDRAL_HASHES, FrameFingerprint
from serve_app.domain.lists import Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists import Origin, PartitionBuilder, Snapshot, open_partition, partition_of, write_partition

_AT = datetime(2026, 11, 26, tzinfo=UTC)
_CROWDED_OCTETS = 3
_NEAR_BITS = 20
_WARM_UP = 20
_COLUMNS = {"hashes": 0, "entries": 0, "built in s": 1, "memory MB": 0, "p50 ms": 1, "p99 ms": 1}

_Hashes = NDArray[np.uint8]


def bench(
    entries: Annotated[list[int] | None, typer.Option(min=1000, help="Sizes of the list.")] = None,
    lookups: Annotated[int, typer.Option(min=100, help="Pictures that are looked up.")] = 400,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Build each list, map it, and look pictures up in it."""
    run = Run("lists", seed, out)
    wanted = [(name, count) for count in entries or [1_000_000, 10_000_000] for name in _DISTRIBUTIONS]
    run.finish("Look-ups in lists", *measure_lookups(wanted, lookups, seed))


def measure_lookups(lists: Sequence[tuple[str, int]], lookups: int, seed: int) -> tuple[list[Table], list[Check]]:
    """A row for each list, given by the distribution and the number of its hashes; checks of those that are spread."""
    rows, checks = [], []
    for name, count in lists:
        with console.status(f"{name}, {count:,} entries"), tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng(seed)
            row = _measure(_DISTRIBUTIONS[name](count, rng), lookups, rng, Path(folder, "lists.index"))
        rows.append((name, f"{count:,}", *row))
        if name == "spread":
            checks += _checks(count, memory_mb=row[1], p99_ms=row[3])
    note = f"{lookups} pictures for each list, after {_WARM_UP} that do not count; one thread."
    return [table("Perceptual entries", _COLUMNS, rows, note)], checks


def _measure(hashes: _Hashes, lookups: int, rng: np.random.Generator, path: Path) -> tuple[float, float, float, float]:
    """Seconds of building; MB; p50 and p99 of a look-up (ms)."""
    began_s = time.perf_counter()
    _build(hashes, path)
    built_s = time.perf_counter() - began_s
    partition = open_partition(path).partition
    lists = Snapshot(1, {}, partition, partition_of([]))
    pictures = [_picture(hashes, is_near=bool(number % 2), rng=rng) for number in range(lookups + _WARM_UP)]
    for picture in pictures[:_WARM_UP]:
        lists.nearest(picture, _AT)
    times_ms = [_timed_ms(lists, picture) for picture in pictures[_WARM_UP:]]
    p50_ms, p99_ms = map(float, np.quantile(times_ms, [0.5, 0.99]))
    return built_s, partition.size_bytes / 1e6, p50_ms, p99_ms


def _build(hashes: _Hashes, path: Path) -> None:
    builder = PartitionBuilder()
    for number, each in enumerate(hashes):
        builder.add(
            ListEntry(
                id=number,
                kind=ListKind.DENY,
                fingerprint=Fingerprint(FingerprintType.PDQ, each.tobytes()),
                bank="a bank",
                reason="known",
                added_at=_AT,
            )
        )
    write_partition(builder, Origin("benchmark", 1), [], path)


def _timed_ms(lists: Snapshot, picture: list[FrameFingerprint]) -> float:
    began_s = time.perf_counter()
    lists.nearest(picture, _AT)
    return (time.perf_counter() - began_s) * 1e3


def _picture(hashes: _Hashes, is_near: bool, rng: np.random.Generator) -> list[FrameFingerprint]:
    """A picture that is near a listed one, or that shares with listed ones only what a crowd of them shares."""
    symmetries = _random(DIHEDRAL_HASHES, rng)
    listed = hashes[rng.integers(len(hashes))]
    symmetries[0, :_CROWDED_OCTETS] = hashes[0, :_CROWDED_OCTETS]
    if is_near:
        symmetries[rng.integers(DIHEDRAL_HASHES)] = _flipped(listed[np.newaxis], rng)[0]
    return [FrameFingerprint(0, 100, symmetries.tobytes())]


def _random(count: int, rng: np.random.Generator) -> _Hashes:
    return np.frombuffer(rng.bytes(32 * count), dtype=np.uint8).reshape(-1, 32).copy()


def _flipped(hashes: _Hashes, rng: np.random.Generator) -> _Hashes:
    """Each with at most 20 other bits."""
    flips = np.zeros_like(hashes)
    rows = np.arange(len(hashes))
    for _ in range(_NEAR_BITS):
        bits = rng.integers(0, 256, len(hashes))
        flips[rows, bits // 8] ^= (1 << (bits % 8)).astype(np.uint8)
    return hashes ^ flips


def _clustered(count: int, rng: np.random.Generator) -> _Hashes:
    hashes = _random(max(1, count // 1000), rng)[rng.integers(0, max(1, count // 1000), count)]
    near = count * 9 // 10
    hashes[:near] = _flipped(hashes[:near], rng)
    return hashes


def _crowded(count: int, rng: np.random.Generator) -> _Hashes:
    hashes = _random(count, rng)
    hashes[: count // 2, :_CROWDED_OCTETS] = hashes[0, :_CROWDED_OCTETS]
    return hashes


_DISTRIBUTIONS: dict[str, Callable[[int, np.random.Generator], _Hashes]] = {
    "spread": _random,
    "clustered": _clustered,
    "crowded": _crowded,
}

_TARGETS = {1_000_000: (5.0, 150.0), 10_000_000: (30.0, 1200.0)}
"""By the number of entries: milliseconds of p99, and MB."""


def _checks(count: int, memory_mb: float, p99_ms: float) -> list[Check]:
    if count not in _TARGETS:
        return []
    most_ms, most_mb = _TARGETS[count]
    return [
        at_most(f"p99 of a look-up among {count:,}", p99_ms, most_ms, "ms", 1),
        at_most(f"memory of {count:,} entries", memory_mb, most_mb, "MB"),
    ]
