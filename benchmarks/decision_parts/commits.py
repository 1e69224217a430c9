"""What the commit before each answer costs, and how many decisions a second a SQLite file takes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import load
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.decision_parts.part import Options, Part
from benchmarks.decision_parts.services import serving
from benchmarks.load import Target
from benchmarks.outcomes import latencies_s, percentile_ms, told_percentiles_ms
from benchmarks.record import at_least, at_most, table
from serve_app.database.location import Location
from serve_app.domain import (
    DIHEDRAL_HASHES,
    PDQ_BYTES,
    Decision,
    Examination,
    FrameFingerprint,
    Judged,
    Judgement,
    LabelScores,
    ModelIdentity,
    Verdict,
    ViewPlace,
)
from serve_app.ledger import open_ledger
from serve_app.ledger.opening import OpenLedger
from serve_app.ledger.sql import COMMIT_WAIT_S

_MOST_ADDED_MS = 3.0
_LEAST_PER_S = 500.0

_ROUNDS = 60
_PICTURES = 8
_CALLERS = 32
_DURATION_S = 5.0
_LABELS = 40
_WRITES = 200
_COMMIT_BYTES = 24_000
_PAUSE_S = 0.01
_SHARES = (0.5, 0.95, 0.99)
_PERCENTILES = {"p50 ms": 2, "p95 ms": 2, "p99 ms": 2}


def measure(options: Options) -> Part:
    """Two services in one process, with a SQLite file and without, alternately; then the ledger alone."""
    jpeg = photo_like_jpeg(20_000, options.seed)
    homes = options.home("commit-memory"), options.home("commit-sqlite")
    with serving(homes[0], {"ledger": "memory"}) as memory, serving(homes[1], {}) as sqlite:
        answered_s = _alternately({"ledger: memory": memory.url, "SQLite": sqlite.url}, jpeg)
    rows = [
        *((f"answered, {name}", *told_percentiles_ms(times_s, *_SHARES)) for name, times_s in answered_s.items()),
        ("the disk alone: one fdatasync", *told_percentiles_ms(_disk_s(options.folder), *_SHARES)),
    ]
    with_ms, without_ms = (percentile_ms(answered_s[name], 0.5) for name in ("SQLite", "ledger: memory"))
    added_ms = None if with_ms is None or without_ms is None else with_ms - without_ms
    note = (
        f"New pictures of 20 KB, one after another: {_ROUNDS} times {_PICTURES} to each of two services, alternately."
    )

    location = Location(options.folder, options.folder / "rate.db")
    with contextlib.closing(open_ledger(location)) as ledger:
        times_s, elapsed_s = asyncio.run(_record(ledger))
        health = ledger.health()
    per_s = len(times_s) / elapsed_s
    # A decision that waited too long went to the spool, and was not committed before its answer.
    is_committed = health.problem is None and max(times_s) < COMMIT_WAIT_S
    of_rate = {"callers": 0, "decisions/s": 0, **_PERCENTILES}
    rate = (_CALLERS, per_s, *told_percentiles_ms(times_s, *_SHARES))
    rate_note = f"{_CALLERS} at once for {_DURATION_S:.0f} s, each with an examination of one view, {_LABELS} labels."
    tables = [
        table("An answer, with and without a commit", {"what": 0, **_PERCENTILES}, rows, note),
        table("Decisions into a SQLite file", of_rate, [rate], rate_note),
    ]
    return tables, [
        at_most("the commit before the answer adds to p50", added_ms, _MOST_ADDED_MS, "ms", 2),
        at_least("decisions committed a second", per_s if is_committed else None, _LEAST_PER_S),
    ]


def _disk_s(folder: Path) -> list[float]:
    """A write of about the size of a commit, after a pause: a disk that was idle may be slower."""
    times_s = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(_WRITES):
            time.sleep(_PAUSE_S)
            file.write(bytes(_COMMIT_BYTES))
            began_s = time.perf_counter()
            os.fdatasync(file.fileno())
            times_s.append(time.perf_counter() - began_s)
    return times_s


def _alternately(urls: dict[str, str], jpeg: bytes) -> dict[str, list[float]]:
    answered_s: dict[str, list[float]] = {name: [] for name in urls}
    for each in range(_ROUNDS + 1):
        for name, url in urls.items():
            answered = load.each_in_turn(Target(url, lambda: unique(jpeg)), _PICTURES)
            if each:  # the first round warms up
                answered_s[name] += latencies_s(answered.outcomes)
    return answered_s


async def _record(ledger: OpenLedger) -> tuple[list[float], float]:
    times_s: list[float] = []
    template, names = sample_decision(), itertools.count()
    began_s = time.perf_counter()

    async def keep_recording() -> None:
        while time.perf_counter() < began_s + _DURATION_S:
            decision = replace(template, request_id=f"r{next(names)}", sha256=secrets.token_hex(32))
            sent_s = time.perf_counter()
            await ledger.record(decision)
            times_s.append(time.perf_counter() - sent_s)

    await asyncio.gather(*(keep_recording() for _ in range(_CALLERS)))
    return times_s, time.perf_counter() - began_s


def sample_decision() -> Decision:
    """An ordinary one, without an id or a sha256."""
    model = ModelIdentity("a model", "a" * 64, 224)
    labels = tuple(f"label {number}" for number in range(_LABELS))
    cosines = np.linspace(-1, 1, _LABELS, dtype=np.float32)[np.newaxis]
    place = ViewPlace(0, (0.0, 0.0, 1.0, 1.0))
    fingerprint = FrameFingerprint(0, 100, bytes(DIHEDRAL_HASHES * PDQ_BYTES))
    return Decision(
        request_id="",
        decided_at=datetime.now(UTC),
        sha256="",
        body_bytes=200_000,
        outcome=Judged(Judgement(Verdict.ACCEPT, None, "", 0, {"a concept": 0.25}, -0.1), place, "image/jpeg", 1, 1, 1),
        kept=True,
        model=model,
        policy="a policy",
        policy_digest="b" * 64,
        elapsed_ms=20.0,
        examination=Examination(
            LabelScores(cosines, 100.0, model), (place,), "image/jpeg", 1, 1, fingerprints=(fingerprint,)
        ),
        labels=labels,
    )
