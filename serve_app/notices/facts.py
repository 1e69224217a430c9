"""What notices are made of: the state of the service at a moment, and what was decided in some hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from serve_app.domain import LedgerHealth, PendingDecisions, Tally
from serve_app.domain.workers import WorkersHealth


@dataclass(frozen=True, slots=True)
class SuspendedEntry:
    """An entry of a list that the flood guard has suspended."""

    entry: int
    bank: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HuntedPictures:
    """What the latest hunt found: accepted pictures that are rejected now. ``left`` ones are still stored."""

    at: datetime
    purged: int
    left: int


@dataclass(frozen=True, slots=True)
class DoubtedScores:
    """Scores of one worker that were wrong, or of two that contradict each other (:class:`~serve_app.domain.Doubt`).

    ``decisions`` counts those of each worker since ``since``, when its scores were last known to be right.
    """

    at: datetime
    since: datetime | None
    why: str
    decisions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so at the moment ``at``.

    ``scanner_problem`` is why no picture can be scanned; None if one can. The service may have ended for it.
    ``purged_today`` counts since midnight, UTC. ``over_quota`` counts pictures beyond the quota of their source, by
    source, since that was told last; ``is_over_quota`` if one of them came since the look before. ``workers`` is None
    where the models compute in the service. These three, and the health of the ledger, are of this process alone; the
    rest is of all replicas.
    """

    at: datetime
    scanner_problem: str | None = None
    has_ended: bool = False
    pending: PendingDecisions = field(default_factory=PendingDecisions)
    suspended: Sequence[SuspendedEntry] = ()
    hunted: HuntedPictures | None = None
    purged_today: int = 0
    over_quota: Mapping[str, int] = field(default_factory=dict)
    is_over_quota: bool = False
    ledger: LedgerHealth = field(default_factory=LedgerHealth)
    workers: WorkersHealth | None = None
    doubts: Sequence[DoubtedScores] = ()

    @property
    def has_unrecorded(self) -> bool:
        """Whether decisions of this process wait outside of the database."""
        return self.ledger.problem is not None or self.ledger.spooled > 0


@dataclass(frozen=True, slots=True)
class Counted:
    """What was decided about pictures of image servers from ``since`` to before ``until``."""

    since: datetime
    until: datetime
    rejected: Sequence[Tally]
    unscanned: Sequence[Tally]

    @property
    def rejected_count(self) -> int:
        """Pictures that the policy or a list has rejected."""
        return sum(each.count for each in self.rejected)

    @property
    def unscanned_count(self) -> int:
        """Pictures that could not be scanned then."""
        return sum(each.count for each in self.unscanned)
