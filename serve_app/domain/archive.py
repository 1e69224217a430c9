"""The archive of decisions: what admins ask of it, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from serve_app.domain.call import Lane
from serve_app.domain.decision import Decision
from serve_app.domain.fingerprints import FrameFingerprint
from serve_app.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """Whether decisions are being recorded.

    ``spooled`` decisions wait in a file until the database can be written again, in ``spool_bytes`` of it; ``lag_s``
    seconds have passed since none waited, 0 if none does. ``dropped`` ones, since the start of this process, were
    recorded neither here nor there in time, whatever the reason. ``problem`` says what is wrong, None if nothing is.
    """

    problem: str | None = None
    spooled: int = 0
    dropped: int = 0
    spool_bytes: int = 0
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision in the archive. Of a pending one that was dealt with: when, and how (a word or two).

    ``is_reopened`` if its picture was scanned, and has to be scanned again. ``fingerprints`` are those of its picture,
    which are recorded for longer than its examination.
    """

    decision: Decision
    done_at: datetime | None = None
    done_how: str | None = None
    is_reopened: bool = False
    fingerprints: tuple[FrameFingerprint, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def just_made(cls, decision: Decision) -> RecordedDecision:
        """One that still has all that was seen."""
        return cls(decision, fingerprints=decision.fingerprints)

    @property
    def is_pending(self) -> bool:
        """Whether its picture still waits to be scanned."""
        return (self.decision.is_pending or self.is_reopened) and self.done_at is None


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions are wanted: all of the fields that are set must match.

    ``since`` is inclusive, ``until`` exclusive. ``reason``, ``rule`` and ``worker`` as in
    :class:`~serve_app.domain.Decision`, ``done_how`` as in :class:`RecordedDecision`. ``shadow_differs`` where the
    policy on trial would have given another verdict. ``is_canary`` leaves the decisions on the canary out, which count
    in no statistic; True wants them alone, and None all.
    """

    sha256: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    source: str | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    rule: str | None = None
    is_pending: bool | None = None
    shadow_differs: bool | None = None
    is_canary: bool | None = False
    done_how: str | None = None
    worker: str | None = None

    def __post_init__(self) -> None:
        for moment in (self.since, self.until):
            require_offset(moment)

    def includes(self, recorded: RecordedDecision) -> bool:
        """Whether ``recorded`` is wanted."""
        decision = recorded.decision
        return (
            (self.sha256 is None or decision.sha256 == self.sha256)
            and (self.since is None or decision.decided_at >= self.since)
            and (self.until is None or decision.decided_at < self.until)
            and (self.source is None or decision.source == self.source)
            and (self.verdict is None or decision.verdict is self.verdict)
            and (self.reason is None or decision.reason == self.reason)
            and (self.rule is None or decision.rule == self.rule)
            and (self.done_how is None or recorded.done_how == self.done_how)
            and (self.worker is None or decision.worker == self.worker)
            and (self.is_pending is None or recorded.is_pending is self.is_pending)
            and (self.shadow_differs is None or (decision.shadow_judgement is not None) is self.shadow_differs)
            and (self.is_canary is None or decision.is_canary is self.is_canary)
        )


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """Some decisions; ``cursor`` asks for the next ones, and is None after the last."""

    records: tuple[RecordedDecision, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many decisions are alike in their other fields, which are as in :class:`~serve_app.domain.Decision`.

    ``first_at`` is when the first of them was made. For ``examined`` of them the picture was examined; for the others
    that was recalled, or nothing was seen.
    """

    source: str
    lane: Lane
    reason: str
    verdict: Verdict | None
    rule: str | None
    kept: bool
    count: int
    first_at: datetime
    examined: int = 0


@dataclass(frozen=True, slots=True)
class PendingDecisions:
    """How many pictures wait to be scanned, and when the oldest of their decisions was made; None where none waits."""

    count: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ForgetScope:
    """What to erase: the decisions on one body, from one source, or before a moment. Exactly one is set.

    Pending decisions are erased too: their pictures will not be scanned later.
    """

    sha256: str | None = None
    source: str | None = None
    before: datetime | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.sha256, self.source, self.before)) != 1:
            raise ValueError("name one of a sha256, a source and a moment")
        require_offset(self.before)

    def includes(self, decision: Decision) -> bool:
        """Whether ``decision`` is to be erased."""
        if self.before is not None:
            return decision.decided_at < self.before
        return decision.sha256 == self.sha256 or decision.source == self.source


@dataclass(frozen=True, slots=True)
class Erased:
    """How many records were erased. Label scores and fingerprints are recorded once for each body."""

    decisions: int = 0
    label_scores: int = 0
    fingerprints: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            self.decisions + other.decisions,
            self.label_scores + other.label_scores,
            self.fingerprints + other.fingerprints,
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """How long decisions are recorded; pending ones until they are done, and from then on as long as the others.

    ``rejected`` is for flagged pictures too; ``accepted`` for every other decision. Fingerprints stay as long as a
    decision on their body. ``reads`` is for entries in the audit of requests that changed nothing: others stay.
    """

    accepted: timedelta = timedelta(days=30)
    rejected: timedelta = timedelta(days=180)
    label_scores: timedelta = timedelta(days=30)
    reads: timedelta = timedelta(days=90)

    def is_over(self, recorded: RecordedDecision, now: datetime) -> bool:
        """Whether ``recorded`` is to be erased."""
        kept = self.rejected if recorded.decision.verdict in LONG_KEPT else self.accepted
        since = recorded.done_at or recorded.decision.decided_at
        return not recorded.is_pending and since < now - kept


LONG_KEPT = (Verdict.FLAG, Verdict.REJECT)
"""The verdicts of which people ask later."""


FORGET = "forget"
"""The action of an admin who has decisions erased: those that were made before it."""

FORGOTTEN = "forgotten"
"""The action of :data:`FORGET`, once it is done."""

READING = "GET "
"""How the action of a request begins that changes nothing."""

SERVICE = "service"
"""The actor of what the service does by itself."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An action of an admin, or of the service itself. ``actor`` is the name of a secret, or of a command's user."""

    at: datetime
    actor: str
    action: str
    detail: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_offset(self.at)

    @property
    def is_read(self) -> bool:
        """Whether it is of a request that changed nothing."""
        return self.action.startswith(READING)

    def fits(self, earlier: Iterable[Mapping[str, str | int]], most: int, once_per: str) -> bool:
        """Whether a quota of ``most`` such actions has room for it beside ``earlier`` ones, by their details.

        Those with one value of the detail ``once_per`` count once.
        """
        of_others = [detail.get(once_per) for detail in earlier]
        named = {each for each in of_others if each is not None} - {self.detail.get(once_per)}
        return len(named) + of_others.count(None) < most

    @classmethod
    def of_reopening(cls, at: datetime, request_id: str, why: str) -> AuditEntry:
        """Why the service has the picture of a decision scanned again."""
        return cls(at, SERVICE, "reopen", {"decision": request_id, "why": why})

    @classmethod
    def of_suspending(cls, at: datetime, entry: int, bank: str) -> AuditEntry:
        """That the flood guard has suspended an entry of a list."""
        return cls(at, SERVICE, "suspend", {"entry": entry, "bank": bank})

    @classmethod
    def of_forgetting(cls, at: datetime, actor: str, scope: ForgetScope, erased: Erased | None = None) -> AuditEntry:
        """What ``actor`` has erased from ``at`` on; or, once it is ``erased``, how much it was."""
        given = {
            "sha256": scope.sha256,
            "source": scope.source,
            "before": scope.before.isoformat() if scope.before else None,
        }
        detail: dict[str, str | int] = {key: text for key, text in given.items() if text is not None}
        return cls(at, actor, FORGET, detail) if erased is None else cls(at, actor, FORGOTTEN, detail | asdict(erased))


def require_offset(moment: datetime | None) -> None:
    """Refuse a time that could mean any time zone.

    Raises:
        ValueError: ``moment`` has no offset.
    """
    if moment is not None and moment.utcoffset() is None:
        raise ValueError("a time needs an offset from UTC")
