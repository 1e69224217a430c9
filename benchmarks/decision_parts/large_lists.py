"""A database with a million perceptual entries, made once in a run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import numpy as np

from benchmarks.decision_parts.part import Options
from benchmarks.decision_parts.services import location_in
from benchmarks.servers import Home
from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.lists.opening import open_lists
from serve_app.lists.sql_store import SqlListStore

ENTRIES = 1_000_000

_PDQ_BYTES = 32


def put_large_lists(options: Options, home: Home) -> Location:
    """Give a service that has not been started yet a ledger in which the lists lie, and their index; where it is."""
    made = options.folder / "large-lists"
    if not made.exists():
        location = Location(made, made / "ledger.db")
        with stored(location) as store:
            store.import_all(lambda: _drafts(options.seed))
        open_lists(location)  # which builds the index
    own = location_in(home)
    shutil.copytree(made, own.spool_folder)
    return own


@contextlib.contextmanager
def stored(location: Location) -> Iterator[SqlListStore]:
    """The lists in a database; closed, and its journal written into its file, at the end of the block."""
    with contextlib.closing(open_database(location)) as database:
        yield SqlListStore(database)


def _drafts(seed: int) -> Iterator[EntryDraft]:
    source = np.random.default_rng(seed)
    for _ in range(ENTRIES):
        fingerprint = Fingerprint(FingerprintType.PDQ, source.bytes(_PDQ_BYTES))
        yield EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="a bank", reason="known")
