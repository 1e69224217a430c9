"""The counts of a run's answers, and as many of them as a table shows."""

from __future__ import annotations

from serve_app.cli.check.scanning import Scan

MOST_SHOWN = 1000
"""The most pictures of each kind (accepted; others) in a table for people."""

# Fewer in a row may be one bad moment of a service that works.
_MOST_IN_VAIN = 16


class Tally:
    """Counts, the notices of a demo model, and at most :data:`MOST_SHOWN` scans of each kind."""

    def __init__(self, shows_accepted: bool = False) -> None:
        """``shows_accepted``: whether the table has accepted pictures too."""
        self.pictures = self.accepted = self.rejected = self.unscanned = 0
        self.notices: set[str] = set()
        self.why_unscanned = ""
        self._in_vain = 0
        self._shows_accepted = shows_accepted
        self._shown_accepted: list[Scan] = []
        self._shown_others: list[Scan] = []

    def add(self, scan: Scan) -> None:
        """Count a picture."""
        self.pictures += 1
        self.accepted += scan.is_accepted
        self.rejected += scan.is_rejected
        self.unscanned += scan.is_error
        if scan.notice:
            self.notices.add(scan.notice)
        shown = self._shown_accepted if scan.is_accepted else self._shown_others
        if len(shown) < MOST_SHOWN and (self._shows_accepted or not scan.is_accepted):
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
        """The rows of the table, by name: pictures that were not accepted, and accepted ones if they are wanted."""
        return sorted([*self._shown_accepted, *self._shown_others], key=lambda each: each.picture)

    @property
    def is_cut(self) -> bool:
        """Whether the table lacks pictures that it would have if it had no limit."""
        wanted = self.pictures if self._shows_accepted else self.pictures - self.accepted
        return len(self._shown_accepted) + len(self._shown_others) < wanted

    def __str__(self) -> str:
        flagged = self.pictures - self.accepted - self.rejected - self.unscanned
        return (
            f"{self.pictures:,} picture{'s' * (self.pictures != 1)}: {self.accepted:,} accepted, {flagged:,} flagged, "
            f"{self.rejected:,} rejected, {self.unscanned:,} unscanned"
        )
