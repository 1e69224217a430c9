"""What is remembered of the answers of a run, however many there are."""

from __future__ import annotations

from serve_app.cli.scanning import Scan

MOST_SHOWN = 1000
"""Pictures of each kind (kept; others) that a table for people has at most."""

# So many pictures in a row say that the service is gone, and not that a moment was bad.
_MOST_IN_VAIN = 16


class Tally:
    """Counts, the notices of a demo model, and as many scans as fit a table."""

    def __init__(self) -> None:
        self.scanned = self.rejected = self.unscanned = 0
        self.notices: set[str] = set()
        self.why_unscanned = ""
        self._in_vain = 0
        self._kept: list[Scan] = []
        self._others: list[Scan] = []

    def add(self, scan: Scan) -> None:
        """Count a picture."""
        self.scanned += 1
        self.rejected += scan.is_rejected
        self.unscanned += scan.is_error
        if scan.notice:
            self.notices.add(scan.notice)
        shown = self._kept if scan.verdict == "accept" else self._others
        if len(shown) < MOST_SHOWN:
            shown.append(scan)
        if scan.is_unscanned_for_now:
            self._in_vain += 1
            self.why_unscanned = scan.message
        else:
            self._in_vain = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether the last pictures were all unscanned for a reason that lies with the service."""
        return self._in_vain >= _MOST_IN_VAIN

    def shown(self) -> list[Scan]:
        """All scans by name if there are few; else those that were not accepted, of each up to :data:`MOST_SHOWN`."""
        scans = [*self._kept, *self._others] if self.scanned <= MOST_SHOWN else self._others
        return sorted(scans, key=lambda each: each.picture)

    def __str__(self) -> str:
        kept = self.scanned - self.rejected - self.unscanned
        return f"{self.scanned:,} pictures: {kept:,} kept, {self.rejected:,} rejected, {self.unscanned:,} not scanned"
