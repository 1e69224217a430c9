"""The hash list of quarantined pictures: a bank that denies what a store cannot set aside."""

from __future__ import annotations

from typing import Final

from serve_app.administration.list_additions import Lister
from serve_app.domain import DecisionArchive, DecisionFilter, Verdict
from serve_app.domain.lists import Fingerprint, FingerprintType, ListKind
from serve_app.lists.of_decisions import ListingTerms, Selection
from serve_app.lists.store import ListStore

QUARANTINED_BANK: Final = "quarantined"
"""``pictwarden list export --bank quarantined`` writes it into a file."""


class HashList:
    """Denies pictures by their sha256, and by the PDQ of the frame that decided, where the ledger has it."""

    def __init__(self, archive: DecisionArchive, store: ListStore, author: str) -> None:
        """``author`` is who has the pictures quarantined."""
        self._archive = archive
        self._lister = Lister(archive, store)
        self._author = author

    async def deny(self, sha256: str, reason: str) -> None:
        """Put a rejected picture on the list; once it is there, nothing is added.

        Raises:
            UnavailableError: the ledger cannot be read, or the lists not be written.
        """
        terms = ListingTerms(kind=ListKind.DENY, bank=QUARANTINED_BANK, reason=reason, author=self._author)
        await self._lister.add(await self._selection(sha256, terms), terms)

    async def _selection(self, sha256: str, terms: ListingTerms) -> Selection:
        rejected = DecisionFilter(sha256=sha256, verdict=Verdict.REJECT)
        for latest in (await self._archive.search(rejected, limit=1, with_examinations=True)).records:
            return await self._lister.select(latest, terms)
        return Selection((Fingerprint(FingerprintType.SHA256, bytes.fromhex(sha256)),))
