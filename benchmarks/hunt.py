"""How long a hunt takes among a million bodies in a ledger: by entries of lists, and by a policy. No service runs."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import policy_hunt
from benchmarks.command import Out, Run, Seed, console
from benchmarks.record import at_least, at_most, table
from serve_app.database.access import Database, open_database
from serve_app.database.location import Location
from serve_app.database.tables import fingerprints
from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES, FrameFingerprint
from serve_app.domain.lists import Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.ledger.encoding import pack_fingerprints
from serve_app.ledger.fingerprint_scan import BODIES_AT_ONCE, all_fingerprints
from serve_app.lists import Snapshot, partition_of

MOST_S = 5.0
"""For one entry, among a million bodies."""

MOST_OF_POLICY_S = 10.0
"""Of one core, for a million bodies."""

MOST_OF_POLICY_MB = 100.0
"""However many bodies there are."""

_ENTRIES = (1, 10, 100, 1000)
_COLUMNS = {"entries": 0, "seconds": 1, "core-s": 1, "bodies found": 0}
_POLICY_COLUMNS = {"": 0, "seconds": 1, "core-s": 1, "bodies found": 0, "memory grown by, MB": 0}
_SHA256_BYTES = 32
_QUALITY = 100


def bench(
    bodies: Annotated[int, typer.Option(min=1, help="In the ledger, of one frame each.")] = 1_000_000,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if a hunt takes too long or too much memory, or does not find its picture alone."""
    run = Run("hunt", seed, out)
    source = np.random.default_rng(seed)
    hunts: list[Hunted] = []
    with tempfile.TemporaryDirectory(prefix="pw-hunt-") as folder:
        location = Location(Path(folder), Path(folder) / "ledger.db")
        with contextlib.closing(open_database(location)) as database:
            with console.status(f"recording {bodies:,} bodies"):
                known = record(database, bodies, source)
            for count in _ENTRIES:
                with console.status(f"{count:,} entries"):
                    # One is of a picture that is there.
                    hunts.append(compare(database, [known, *(source.bytes(PDQ_BYTES) for _ in range(count - 1))]))
            with console.status(f"recording the scores of {bodies:,} bodies"):
                policy_hunt.record(database, bodies, source)
            with console.status("the policy"):
                judged = policy_hunt.judge(database)
    by_policy = (judged.seconds, judged.core_s, judged.found, judged.grown_mb)
    checks = [
        at_most("one entry is compared with all bodies in", hunts[0].seconds, MOST_S, "s", 1),
        at_least("bodies found, at the least", min(each.found for each in hunts), 1),
        at_most("bodies found, at most", max(each.found for each in hunts), 1),
        at_most("core time of a policy for a million bodies", judged.core_s / bodies * 1e6, MOST_OF_POLICY_S, "s", 1),
        at_most("memory of a policy", judged.grown_mb, MOST_OF_POLICY_MB, "MB", 1),
        at_least("bodies found by the policy", judged.found, 1),
        at_most("and no more than", judged.found, 1),
    ]
    rows = [(each.entries, each.seconds, each.core_s, each.found) for each in hunts]
    note = f"{bodies:,} bodies in a SQLite ledger, of one frame each: hashes of random bits."
    labels = len(policy_hunt.POLICY.labels)
    scores_note = f"The same number of bodies, each with the scores of {policy_hunt.VIEWS} views for {labels} prompts."
    tables = [
        table("Entries compared with every body", _COLUMNS, rows, note),
        table("A policy over the scores of every body", _POLICY_COLUMNS, [("one policy", *by_policy)], scores_note),
    ]
    run.finish("Hunt", tables, checks)


@dataclass(frozen=True, slots=True)
class Hunted:
    """How long it took to look for so many entries, and how many bodies one of them is near."""

    entries: int
    seconds: float
    core_s: float
    found: int


def record(database: Database, bodies: int, source: np.random.Generator) -> bytes:
    """Put so many bodies into an empty database; the PDQ hash of one of them."""
    database.prepare()
    frame_bytes = DIHEDRAL_HASHES * PDQ_BYTES
    for first in range(0, bodies, BODIES_AT_ONCE):
        frames = [
            FrameFingerprint(0, _QUALITY, source.bytes(frame_bytes)) for _ in range(min(BODIES_AT_ONCE, bodies - first))
        ]
        rows = [{"sha256": source.bytes(_SHA256_BYTES), "frames": pack_fingerprints([each])} for each in frames]
        with database.writing() as connection:
            connection.execute(fingerprints.insert(), rows)
    return frames[0].pdq


def compare(database: Database, digests: list[bytes]) -> Hunted:
    """Look for entries of these PDQ hashes."""
    entries = [
        ListEntry(
            id=number,
            kind=ListKind.DENY,
            fingerprint=Fingerprint(FingerprintType.PDQ, digest),
            bank="a bank",
            reason="known",
            added_at=datetime.now(UTC),
        )
        for number, digest in enumerate(digests, 1)
    ]
    sought = Snapshot(1, {}, partition_of([]), partition_of(entries))
    began_s, began_core_s = time.perf_counter(), time.process_time()
    found = sum(len(sought.suspects(part.sha256, part.hashes, part.bodies)) for part in all_fingerprints(database))
    return Hunted(len(digests), time.perf_counter() - began_s, time.process_time() - began_core_s, found)
