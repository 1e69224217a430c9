"""The fingerprints of every body in a database, as arrays: what is compared with lists that were not there then."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from serve_app.database.access import Database
from serve_app.database.tables import fingerprints
from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES
from serve_app.domain.lists import MIN_QUALITY
from serve_app.ledger.pages import pages

BODIES_AT_ONCE = 20_000
"""5 MB of fingerprints, if each body is one frame."""

BYTES_AT_ONCE = 32_000_000
"""A part ends at the body that reaches it: videos have many frames."""

# As serve_app.ledger.encoding packs a frame.
_FRAME = np.dtype([("frame", "<u4"), ("quality", "u1"), ("hashes", "u1", (DIHEDRAL_HASHES * PDQ_BYTES,))])
_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True)
class BodyFingerprints:
    """Some bodies and the PDQ hashes of their frames that can match.

    Attributes:
        sha256: ``(bodies, 32)``, uint8.
        hashes: ``(hashes, 4)``, uint64; those of a frame's symmetries follow each other.
        bodies: of which body each hash is, ``(hashes,)``.
    """

    sha256: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    bodies: NDArray[np.intp]


def count_bodies(database: Database) -> int:
    """How many bodies have fingerprints."""
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(fingerprints)).scalar_one()


def all_fingerprints(database: Database) -> Generator[BodyFingerprints, None, None]:
    """Those of all bodies, in any order. What is recorded meanwhile may be left out. For a thread."""
    columns = fingerprints.c
    wanted = [columns.sha256, columns.frames]
    for sha256s, frames in pages(
        database, fingerprints, wanted, rows_at_once=BODIES_AT_ONCE, bytes_at_once=BYTES_AT_ONCE
    ):
        yield _arrays(sha256s, frames)


def _arrays(sha256s: Sequence[bytes], packed: Sequence[bytes]) -> BodyFingerprints:
    frames = np.frombuffer(b"".join(packed), _FRAME)
    of_body = np.repeat(np.arange(len(packed)), [len(each) // _FRAME.itemsize for each in packed])
    asked = (frames["quality"] >= MIN_QUALITY).nonzero()[0]
    return BodyFingerprints(
        np.frombuffer(b"".join(sha256s), np.uint8).reshape(-1, _SHA256_BYTES),
        np.ascontiguousarray(frames["hashes"][asked]).view(np.uint64).reshape(-1, PDQ_BYTES // 8),
        np.repeat(of_body[asked], DIHEDRAL_HASHES),
    )
