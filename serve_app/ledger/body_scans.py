"""What is read of all bodies in a ledger, to find what was accepted before it was known."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence

from serve_app.database.access import Database
from serve_app.ledger import fingerprint_scan, score_scan
from serve_app.ledger.fingerprint_scan import BodyFingerprints
from serve_app.ledger.rows import Context
from serve_app.ledger.score_scan import ScoredBodies, UnscoredBodies


class BodyScans:
    """Scans of one database. They are for threads, and take seconds for a million bodies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count_bodies(self) -> int:
        """See :func:`~serve_app.ledger.fingerprint_scan.count_bodies`."""
        self._database.prepare()
        return fingerprint_scan.count_bodies(self._database)

    def all_fingerprints(self) -> Generator[BodyFingerprints, None, None]:
        """See :func:`~serve_app.ledger.fingerprint_scan.all_fingerprints`."""
        self._database.prepare()
        return fingerprint_scan.all_fingerprints(self._database)

    def contexts(self) -> Mapping[int, Context]:
        """See :func:`~serve_app.ledger.score_scan.contexts_of_scores`."""
        self._database.prepare()
        return score_scan.contexts_of_scores(self._database)

    def count_scored(self, of_contexts: Collection[int]) -> int:
        """See :func:`~serve_app.ledger.score_scan.count_scored`."""
        self._database.prepare()
        return score_scan.count_scored(self._database, of_contexts)

    def all_scores(self, of_contexts: Collection[int]) -> Generator[ScoredBodies, None, None]:
        """See :func:`~serve_app.ledger.score_scan.all_scores`."""
        self._database.prepare()
        return score_scan.all_scores(self._database, of_contexts)

    def count_unscored(
        self,
        of_contexts: Collection[int],
        others: Sequence[Collection[int]],
        sources: Collection[str] | None = None,
        *,
        but: Collection[str] = (),
    ) -> UnscoredBodies:
        """See :func:`~serve_app.ledger.score_scan.count_unscored`."""
        self._database.prepare()
        return score_scan.count_unscored(self._database, of_contexts, others, sources, but=but)
