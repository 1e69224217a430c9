"""Workers elsewhere, as admins see them: which are connected, whether they score, and which of them are in doubt."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from serve_app.domain.archive import SERVICE, AuditEntry


class WorkerState(enum.StrEnum):
    """Whether a connected worker gets pictures: only while it is trusted, and does not leave."""

    ON_TRIAL = "on trial"
    TRUSTED = "trusted"
    SILENT = "silent"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class ConnectedWorker:
    """A worker that is connected.

    ``name`` is the one in its decisions, ``owner`` the name of its secret. ``device``, ``version`` and ``models`` are
    what it says of itself. ``pictures`` counts since ``since``. ``view_ms`` is the time of its device for a view, and
    ``round_trip_ms`` that of its connection, as measured.
    """

    name: str
    owner: str
    state: WorkerState
    device: str
    version: str
    models: Sequence[str]
    since: datetime
    pictures: int
    in_flight: int
    view_ms: float
    round_trip_ms: float


class StandingIn(enum.StrEnum):
    """Who looks at uploads while no worker gets pictures."""

    NOBODY = "nobody"
    SERVICE = "service"
    """The service itself, as ``remote.fallback`` says."""
    FEDI_SAFETY = "fedi-safety"
    """Workers of fedi-safety."""


@dataclass(frozen=True, slots=True)
class WorkersHealth:
    """Whether workers score.

    ``absent_since`` is set while there is none that gets pictures, though ``connected`` ones may be on trial or leave.
    ``standing_in`` is who looks at uploads then; ``unscanned_since`` is set while nobody does.
    """

    connected: int = 0
    absent_since: datetime | None = None
    standing_in: StandingIn = StandingIn.NOBODY
    unscanned_since: datetime | None = None


class WorkersView(Protocol):
    """What admins see of the workers of a service, and may do.

    Each raises UnavailableError where the process that they connect to does not answer.
    """

    async def connected(self) -> Sequence[ConnectedWorker]:
        """Those that are connected, in the order in which they joined."""
        ...

    async def health(self) -> WorkersHealth:
        """Whether workers score."""
        ...

    async def dismiss(self, name: str, actor: str) -> bool:
        """End the connection of a worker, which ends by itself then; False if none of that name is connected."""
        ...


TRUST: Final = "trust"
"""The action in the audit when a worker has passed its trial, and decides verdicts from then on."""

DISTRUST: Final = "distrust"
"""The action in the audit when the scores of workers are in doubt."""

_WORKER, _OTHER, _SINCE, _WHY, _HAS_DECODED = "worker", "other", "since", "why", "has_decoded"

LATE: Final = timedelta(minutes=1)
"""How long after ``at`` a decision can still rest on scores in doubt: it was on its way, or clocks are apart."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """From ``at`` on, scores of ``workers`` are in doubt.

    It is one worker whose scores were wrong, or two that contradict each other. ``since`` is when they were last known
    to be right; None where they never were, and so had no picture. One that ``has_decoded`` got whole files: what it
    says is in them is in doubt as well.
    """

    workers: tuple[str, ...]
    at: datetime
    since: datetime | None
    why: str
    has_decoded: bool = False

    @property
    def until(self) -> datetime:
        """The last moment of decisions in doubt. A worker that is trusted again is not in doubt after it."""
        return self.at + LATE

    def includes(self, worker: str | None, decided_at: datetime) -> bool:
        """Whether what ``worker`` scored for a decision of then is in doubt."""
        return self.since is not None and worker in self.workers and self.since <= decided_at <= self.until

    def entry(self) -> AuditEntry:
        """For the audit."""
        detail: dict[str, str | int] = dict(zip((_WORKER, _OTHER), self.workers, strict=False))
        if self.since is not None:
            detail[_SINCE] = self.since.isoformat()
        if self.has_decoded:
            detail[_HAS_DECODED] = True
        return AuditEntry(self.at, SERVICE, DISTRUST, detail | {_WHY: self.why})


def trust_in(worker: str, at: datetime) -> AuditEntry:
    """For the audit: ``worker`` has passed a trial, of which the first picture was sent ``at``."""
    return AuditEntry(at, SERVICE, TRUST, {_WORKER: worker})


def trusted_since(worker: str, trusts: Iterable[AuditEntry], doubts: Iterable[Doubt]) -> datetime | None:
    """When a worker passed its last trial, by the audit; None if it has never, or was found wrong since.

    One that contradicts another worker may go on all the same.
    """
    at = max((each.at for each in trusts if each.detail.get(_WORKER) == worker), default=None)
    if at is None or any(each.workers == (worker,) and each.at >= at for each in doubts):
        return None
    return at


def doubts_in(entries: Iterable[AuditEntry]) -> list[Doubt]:
    """What entries of the audit say, which are those of :data:`DISTRUST`."""
    return [
        Doubt(
            tuple(str(each.detail[key]) for key in (_WORKER, _OTHER) if key in each.detail),
            each.at,
            datetime.fromisoformat(str(each.detail[_SINCE])) if _SINCE in each.detail else None,
            str(each.detail.get(_WHY, "")),
            bool(each.detail.get(_HAS_DECODED, False)),
        )
        for each in entries
    ]
