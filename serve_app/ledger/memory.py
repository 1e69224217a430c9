"""The latest decisions of one process, in its memory."""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from serve_app.domain import (
    AuditEntry,
    Decision,
    DecisionFilter,
    DecisionPage,
    Erased,
    ForgetScope,
    Lane,
    LedgerHealth,
    PendingDecisions,
    Recollection,
    RecordedDecision,
    Retention,
    Tally,
    Verdict,
)
from serve_app.domain.workers import DISTRUST, Doubt, doubts_in
from serve_app.ledger.cursors import Cursor
from serve_app.ledger.memory_audit import MemoryAudit
from serve_app.ledger.recent_examinations import RecentExaminations

_Alike = tuple[str, Lane, str, Verdict | None, str | None, bool]
"""The fields of a tally, without its numbers and its time."""

_KEPT_EXAMINATION_BYTES = 64_000_000


class OwnLease:
    """:class:`serve_app.domain.WorkLease` of the only program."""

    async def hold(self) -> bool:
        """See the port."""
        return True

    async def release(self) -> None:
        """See the port: nobody waits for it."""


class MemoryLedger:
    """Stores at most ``kept_decisions``; the oldest one leaves first. For one event loop."""

    bodies: ClassVar[None] = None
    """Of so few there are no scans."""

    def __init__(
        self,
        kept_decisions: int = 10_000,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if kept_decisions < 1:
            raise ValueError("a ledger stores at least one decision")
        self._kept_decisions = kept_decisions
        self._retention = Retention()
        self._wall_clock = wall_clock
        self._records: OrderedDict[str, RecordedDecision] = OrderedDict()
        self._decisions_on: Counter[str] = Counter()
        self._examined: set[str] = set()
        self._examinations = RecentExaminations(_KEPT_EXAMINATION_BYTES)
        self._audit = MemoryAudit()

    async def record(self, decision: Decision) -> None:
        """See :class:`~serve_app.domain.Sink`."""
        if decision.request_id in self._records:
            return
        self._examinations.add(decision)
        self._records[decision.request_id] = RecordedDecision(replace(decision, examination=None))
        self._decisions_on[decision.sha256] += 1
        if decision.examination is not None and not decision.examination.is_recalled:
            self._examined.add(decision.request_id)
        if len(self._records) > self._kept_decisions:
            self._erase([next(iter(self._records))])

    async def recall(self, sha256: str, model_digest: str) -> Recollection | None:
        """See :class:`~serve_app.domain.Ledger`."""
        recalled = self._examinations.get(sha256, model_digest)
        return None if recalled is None or recalled.examination.is_truncated else recalled

    def health(self) -> LedgerHealth:
        """See :class:`~serve_app.domain.Ledger`."""
        return LedgerHealth()

    async def get(self, request_id: str) -> RecordedDecision | None:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        recorded = self._records.get(request_id)
        return None if recorded is None else self._with_examination(recorded)

    async def search(
        self, wanted: DecisionFilter, limit: int = 100, cursor: str | None = None, *, with_examinations: bool = False
    ) -> DecisionPage:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        found = filter(wanted.includes, self._records.values())
        if cursor is not None:
            before = Cursor.parse(cursor)
            found = filter(lambda each: Cursor.of(each) < before, found)
        page = Cursor.page(heapq.nlargest(limit + 1, found, key=Cursor.of), limit)
        if with_examinations:
            page = replace(page, records=tuple(map(self._with_examination, page.records)))
        return page

    async def count(self, wanted: DecisionFilter) -> int:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return sum(map(wanted.includes, self._records.values()))

    async def pending(self, limit: int = 100, after: str | None = None) -> DecisionPage:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        found = filter(lambda each: each.is_pending, self._records.values())
        if after is not None:
            behind = Cursor.parse(after)
            found = filter(lambda each: Cursor.of(each) > behind, found)
        return Cursor.page(heapq.nsmallest(limit + 1, found, key=Cursor.of), limit)

    async def pending_count(self) -> PendingDecisions:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        waiting = [each.decision.decided_at for each in self._records.values() if each.is_pending]
        return PendingDecisions(len(waiting), min(waiting, default=None))

    async def tally(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        wanted = DecisionFilter(since=since, until=until)
        first_at: dict[_Alike, datetime] = {}
        counts: Counter[_Alike] = Counter()
        examined: Counter[_Alike] = Counter()
        for each in filter(wanted.includes, self._records.values()):
            decision = each.decision
            alike = (decision.source, decision.lane, decision.reason, decision.verdict, decision.rule, decision.kept)
            counts[alike] += 1
            examined[alike] += decision.request_id in self._examined
            first_at[alike] = min(decision.decided_at, first_at.get(alike, decision.decided_at))
        return [Tally(*alike, count, first_at[alike], examined[alike]) for alike, count in counts.items()]

    async def mark_done(self, request_id: str, how: str) -> bool:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        recorded = self._records.get(request_id)
        if recorded is None or not recorded.is_pending:
            return False
        self._records[request_id] = replace(recorded, done_at=self._wall_clock(), done_how=how, is_reopened=False)
        return True

    async def reopen(self, request_id: str, why: str) -> bool:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        recorded = self._records.get(request_id)
        if recorded is None or not recorded.decision.kept:
            return False
        if not recorded.is_pending:
            is_reopened = not recorded.decision.is_pending
            self._records[request_id] = RecordedDecision(recorded.decision, is_reopened=is_reopened)
            await self.audit(AuditEntry.of_reopening(self._wall_clock(), request_id, why))
        return True

    async def forget(
        self, scope: ForgetScope, actor: str, show: Callable[[Erased], None] = lambda erased: None
    ) -> Erased:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        await self.audit(AuditEntry.of_forgetting(self._wall_clock(), actor, scope))
        erased = self._erase([key for key, each in self._records.items() if scope.includes(each.decision)])
        show(erased)
        await self.audit(AuditEntry.of_forgetting(self._wall_clock(), actor, scope, erased))
        return erased

    async def forget_scores(self, doubt: Doubt) -> None:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        self._examinations.drop_in_doubt(doubt)

    async def prune(self, now: datetime) -> Erased:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        self._audit.forget_reads(now - self._retention.reads)
        return self._erase([key for key, each in self._records.items() if self._retention.is_over(each, now)])

    async def audit(self, entry: AuditEntry) -> None:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        self._audit.add(entry)
        if entry.action == DISTRUST:
            for doubt in doubts_in([entry]):
                self._examinations.drop_in_doubt(doubt)

    async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return self._audit.add_within(entry, most_a_day, once_per)

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return [each for each in self._audit if each.action == action and each.at >= since]

    async def audit_trail(self, limit: int = 100) -> Sequence[AuditEntry]:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return list(self._audit)[: -limit - 1 : -1]

    def lease(self, name: str) -> OwnLease:
        """See :class:`serve_app.ledger.OpenLedger`: nobody shares this ledger."""
        return OwnLease()

    def close(self) -> None:
        """See :class:`serve_app.ledger.OpenLedger`: nothing was started."""

    def _with_examination(self, recorded: RecordedDecision) -> RecordedDecision:
        decision = recorded.decision
        recalled = self._examinations.get(decision.sha256, decision.model.digest)
        if recalled is None or not decision.labels:
            return recorded
        whole = replace(decision, examination=recalled.examination, labels=recalled.labels)
        return replace(recorded, decision=whole, fingerprints=whole.fingerprints)

    def _erase(self, request_ids: Iterable[str]) -> Erased:
        erased = [self._records.pop(request_id).decision for request_id in request_ids]
        self._decisions_on.subtract(each.sha256 for each in erased)
        self._examined.difference_update(each.request_id for each in erased)
        gone = {(each.sha256, each.model.digest) for each in erased if not self._decisions_on[each.sha256]}
        for sha256, _ in gone:
            self._decisions_on.pop(sha256, None)
        dropped = [each for each in (self._examinations.drop(*body) for body in gone) if each is not None]
        return Erased(len(erased), len(dropped), sum(bool(each.examination.fingerprints) for each in dropped))
