"""The recorded decisions in a database, as admins need them."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from serve_app.database.access import Database, is_outage
from serve_app.database.auditing import add_to_audit, entry_of
from serve_app.database.lease import Lease
from serve_app.database.moments import microseconds, moment_of
from serve_app.database.tables import audit, decisions, label_scores
from serve_app.domain import (
    AuditEntry,
    DecisionFilter,
    DecisionPage,
    Erased,
    Examination,
    ForgetScope,
    FrameFingerprint,
    Lane,
    PendingDecisions,
    PictwardenError,
    RecordedDecision,
    Retention,
    Tally,
    UnavailableError,
    Verdict,
    in_words,
)
from serve_app.domain.workers import Doubt
from serve_app.ledger import queries
from serve_app.ledger.body_scans import BodyScans
from serve_app.ledger.cursors import Cursor, midnight_before
from serve_app.ledger.distrusted import is_in_doubt
from serve_app.ledger.encoding import unpack_fingerprints
from serve_app.ledger.rows import Context, examination_of, recorded_decision
from serve_app.ledger.sql_lease import SqlLease

T = TypeVar("T")

_THREADS = 2

ERASING_PAUSE_S = 0.05
"""Seconds between transactions that erase: a commit that waits for SQLite's lock asks for it again within them."""

_LOG_TRIES = 100
"""How often to try to empty the database's log of what was forgotten; else it is overwritten little by little."""

_LATE = timedelta(minutes=1)
"""Decisions are committed within it; or they wait in a spool, and what takes them back asks the audit."""

_ENDS = "the service ends before all is erased: give the same command again"

_Choose = Callable[[Connection, Any], Sequence[Any]]
"""Rows to be erased, behind the last one that was chosen before (None at first)."""

_Erase = Callable[[Connection, Sequence[Any]], Erased]


class SqlArchive:
    """:class:`serve_app.domain.DecisionArchive` over a database. For one event loop."""

    def __init__(
        self,
        database: Database,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.bodies = BodyScans(database)
        self._database = database
        self._retention = Retention()
        self._wall_clock = wall_clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger-archive")
        # To forget much takes long, and nobody's query waits for it.
        self._forgetting = ThreadPoolExecutor(1, thread_name_prefix="ledger-forget")
        self._contexts: dict[int, Context] = {}
        self._is_closed = threading.Event()

    def close(self) -> None:
        """End its threads, and the connections that nobody uses."""
        self._is_closed.set()
        for threads in (self._threads, self._forgetting):
            threads.shutdown(wait=False, cancel_futures=True)
        self._database.close()

    def lease(self, name: str) -> SqlLease:
        """See :class:`serve_app.ledger.OpenLedger`."""
        return SqlLease(Lease(self._database, name), self._prepared)

    async def get(self, request_id: str) -> RecordedDecision | None:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        wanted = select(decisions).where(decisions.c.request_id == request_id)
        found = await self._read(lambda connection: self._records(connection, wanted, with_examinations=True))
        return found[0] if found else None

    async def search(
        self, wanted: DecisionFilter, limit: int = 100, cursor: str | None = None, *, with_examinations: bool = False
    ) -> DecisionPage:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        found = select(decisions).where(*queries.conditions_of(wanted)).order_by(*queries.NEWEST_FIRST)
        if cursor is not None:
            found = found.where(queries.before(Cursor.parse(cursor)))
        return await self._page(found, limit, with_examinations=with_examinations)

    async def count(self, wanted: DecisionFilter) -> int:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        found = select(func.count()).select_from(decisions).where(*queries.conditions_of(wanted))
        return await self._read(lambda connection: connection.execute(found).scalar_one())

    async def pending(self, limit: int = 100, after: str | None = None) -> DecisionPage:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        found = select(decisions).where(decisions.c.is_pending.is_(True)).order_by(*queries.OLDEST_FIRST)
        if after is not None:
            found = found.where(queries.after(Cursor.parse(after)))
        return await self._page(found, limit)

    async def pending_count(self) -> PendingDecisions:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        row = await self._read(lambda connection: connection.execute(queries.PENDING_COUNT).one())
        return PendingDecisions(row.number, None if row.oldest_at_us is None else moment_of(row.oldest_at_us))

    async def tally(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        wanted = queries.tally(since, until)
        rows = await self._read(lambda connection: connection.execute(wanted).all())
        return [
            Tally(
                row.source,
                Lane(row.lane or Lane.LIVE),
                row.reason,
                Verdict(row.verdict) if row.verdict else None,
                row.rule,
                row.kept,
                row.number,
                moment_of(row.first_at_us),
                row.examined,
            )
            for row in rows
        ]

    async def mark_done(self, request_id: str, how: str) -> bool:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        one = (decisions.c.request_id == request_id) & decisions.c.is_pending.is_(True)
        done = {"is_pending": False, "done_at_us": microseconds(self._wall_clock()), "done_how": how}
        marked = await self._write(lambda connection: connection.execute(update(decisions).where(one).values(done)))
        return marked.rowcount == 1

    async def reopen(self, request_id: str, why: str) -> bool:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        one = (decisions.c.request_id == request_id) & decisions.c.kept.is_(True)
        pending = {"is_pending": True, "done_at_us": None, "done_how": None}

        def write(connection: Connection) -> bool:
            row = connection.execute(select(decisions.c.is_pending).where(one)).first()
            if row is not None and not row.is_pending:
                connection.execute(update(decisions).where(one).values(pending))
                add_to_audit(connection, AuditEntry.of_reopening(self._wall_clock(), request_id, why))
            return row is not None

        return await self._write(write)

    async def forget(
        self, scope: ForgetScope, actor: str, show: Callable[[Erased], None] = lambda erased: None
    ) -> Erased:
        """See :class:`~serve_app.domain.DecisionArchive`. One after the other, in a thread of their own."""
        return await self._prepared(lambda: self._forget(scope, actor, show), self._forgetting)

    async def forget_scores(self, doubt: Doubt) -> None:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        if doubt.since is None:
            return
        condition = queries.in_doubt(doubt, doubt.since)
        erase = queries.erase_decoded if doubt.has_decoded else queries.erase_label_scores

        def forget() -> None:
            # What is recorded by transactions that have not seen the doubt in the audit is found below.
            self._database.wait_for_scores()
            for _ in self._erase(
                lambda connection, _: queries.chosen_label_scores(connection, condition),
                lambda connection, chosen: erase(connection, chosen, condition),
            ):
                if self._is_closed.wait(ERASING_PAUSE_S):
                    raise UnavailableError(_ENDS)

        await self._prepared(forget, self._forgetting)

    async def prune(self, now: datetime) -> Erased:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return await self._in_thread(lambda: self.prune_in_thread(now))

    def prune_in_thread(self, now: datetime, goes_on: Callable[[], bool] = lambda: True) -> Erased:
        """:meth:`prune`, for a thread; after each short transaction only while it ``goes_on``."""
        old = label_scores.c.recorded_at_us < microseconds(now - self._retention.label_scores)
        erased = Erased()
        for some in itertools.chain(
            self._erase_decisions(queries.is_over(self._retention, now)),
            self._erase(
                lambda connection, _: queries.chosen_label_scores(connection, old),
                lambda connection, chosen: queries.erase_label_scores(connection, chosen, old),
            ),
            self._erase(
                lambda connection, _: queries.chosen_reads(connection, microseconds(now - self._retention.reads)),
                queries.erase_reads,
            ),
        ):
            erased += some
            if self._is_closed.wait(ERASING_PAUSE_S) or not goes_on():
                break
        return erased

    async def audit(self, entry: AuditEntry) -> None:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        await self._write(lambda connection: add_to_audit(connection, entry))

    async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        of_today = queries.audited(entry.action, microseconds(midnight_before(entry.at)))

        def add(connection: Connection) -> bool:
            self._database.wait_for_others(connection)
            earlier = [json.loads(row.detail) for row in connection.execute(of_today)]
            is_room = entry.fits(earlier, most_a_day, once_per)
            if is_room:
                add_to_audit(connection, entry)
            return is_room

        try:
            return await self._write(add)
        except Exception as error:
            # A scan that watches a store goes on once there is a ledger again.
            if isinstance(error, PictwardenError) or not is_outage(error):
                raise
            raise UnavailableError(f"the ledger cannot be written: {in_words(error)}") from error

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return await self._entries(queries.audited(action, microseconds(since)))

    async def audit_trail(self, limit: int = 100) -> Sequence[AuditEntry]:
        """See :class:`~serve_app.domain.DecisionArchive`."""
        return await self._entries(select(audit).order_by(audit.c.entry.desc()).limit(limit))

    async def _entries(self, wanted: Select[Any]) -> Sequence[AuditEntry]:
        rows = await self._read(lambda connection: connection.execute(wanted).all())
        return list(map(entry_of, rows))

    async def _page(self, found: Select[Any], limit: int, *, with_examinations: bool = False) -> DecisionPage:
        one_more = found.limit(limit + 1)
        records = await self._read(
            lambda connection: self._records(connection, one_more, with_examinations=with_examinations)
        )
        return Cursor.page(records, limit)

    async def _in_thread(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)

    async def _prepared(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        """:meth:`_in_thread`, once every table is there."""

        def run() -> T:
            self._database.prepare()
            return work()

        return await self._in_thread(run, threads)

    async def _read(self, read: Callable[[Connection], T], threads: ThreadPoolExecutor | None = None) -> T:
        def run() -> T:
            with self._database.reading() as connection:
                return read(connection)

        return await self._prepared(run, threads)

    async def _write(self, write: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._database.writing() as connection:
                return write(connection)

        return await self._prepared(run)

    def _forget(self, scope: ForgetScope, actor: str, show: Callable[[Erased], None]) -> Erased:
        if self._is_closed.is_set():
            raise UnavailableError(_ENDS)
        condition = queries.in_scope(scope)
        with self._database.writing() as connection:
            # What others have taken back from a spool by now is found below; what they take back later, they leave out.
            self._database.wait_for_others(connection)
            add_to_audit(connection, AuditEntry.of_forgetting(self._wall_clock(), actor, scope))
        erased = Erased()
        for some in self._erase_decisions(condition):
            erased += some
            show(erased)
            if self._is_closed.wait(ERASING_PAUSE_S):
                raise UnavailableError(_ENDS)
        late = condition & (decisions.c.decided_at_us >= microseconds(self._wall_clock() - _LATE))
        with self._database.writing() as connection:
            self._database.wait_for_others(connection)
            erased += queries.erase_decisions(connection, queries.chosen_decisions(connection, late), late)
            add_to_audit(connection, AuditEntry.of_forgetting(self._wall_clock(), actor, scope, erased))
        for _ in range(_LOG_TRIES):
            if self._database.empty_log() or self._is_closed.wait(ERASING_PAUSE_S):
                break
        return erased

    def _erase_decisions(self, condition: ColumnElement[bool]) -> Iterator[Erased]:
        return self._erase(
            lambda connection, last: queries.chosen_decisions(connection, condition, last),
            lambda connection, chosen: queries.erase_decisions(connection, chosen, condition),
        )

    def _erase(self, choose: _Choose, erase: _Erase) -> Iterator[Erased]:
        """Erase in short transactions: what each one erased. The caller pauses after each, for other writers."""
        self._database.prepare()
        last, is_done = None, False
        while not is_done:
            with self._database.reading() as connection:
                chosen = choose(connection, last)
            is_done = len(chosen) < queries.CHOSEN_AT_ONCE
            for start in range(0, len(chosen), queries.ERASED_AT_ONCE):
                with self._database.writing() as connection:
                    erased = erase(connection, chosen[start : start + queries.ERASED_AT_ONCE])
                yield erased
                last = chosen[-1]

    def _records(
        self, connection: Connection, wanted: Select[Any], *, with_examinations: bool = False
    ) -> list[RecordedDecision]:
        rows = connection.execute(wanted).mappings().all()
        bodies = list({row["sha256"] for row in rows}) if with_examinations else []
        fingerprints = _fingerprints_of(connection, bodies)
        seen = self._seen_of(connection, bodies, fingerprints)
        records = []
        for row in rows:
            context = self._context(connection, row["context"])
            # Without labels, its picture was not scanned: others with the same bytes may have been.
            is_scanned = bool(context.labels)
            examination = seen.get((row["sha256"], context.model_key)) if is_scanned else None
            frames = fingerprints.get(row["sha256"], ()) if is_scanned else ()
            records.append(recorded_decision(row, context, examination, frames))
        return records

    def _seen_of(
        self,
        connection: Connection,
        bodies: Sequence[bytes],
        fingerprints: Mapping[bytes, tuple[FrameFingerprint, ...]],
    ) -> dict[tuple[bytes, int], tuple[Examination, tuple[str, ...]]]:
        """As :meth:`_seen`, of many bodies, by body and model."""
        found = {}
        for some in _parts(bodies):
            for row in connection.execute(queries.SEEN_OF_BODIES, {"bodies": some}).mappings().all():
                context = self._context(connection, row["context"])
                examination = examination_of(row, context, fingerprints.get(row["sha256"], ()))
                found[row["sha256"], row["model_key"]] = examination, context.labels
        return found

    def _seen(
        self, connection: Connection, sha256: bytes, model_key: int
    ) -> tuple[Examination, tuple[str, ...]] | None:
        """The recorded examination of a body by a model, and the labels of its scores; None if these are in doubt."""
        row = connection.execute(queries.SEEN, {"sha256": sha256, "model_key": model_key}).mappings().one_or_none()
        if row is None or is_in_doubt(connection, row["worker"], row["recorded_at_us"]):
            return None
        context = self._context(connection, row["context"])
        return examination_of(row, context, unpack_fingerprints(row["frames"] or b"")), context.labels

    def _context(self, connection: Connection, key: int) -> Context:
        known = self._contexts.get(key)
        if known is None:
            row = connection.execute(queries.CONTEXT, {"context": key}).mappings().one()
            known = self._contexts[key] = Context.from_row(row)
        return known


def _fingerprints_of(connection: Connection, bodies: Sequence[bytes]) -> dict[bytes, tuple[FrameFingerprint, ...]]:
    return {
        row.sha256: unpack_fingerprints(row.frames)
        for some in _parts(bodies)
        for row in connection.execute(queries.FINGERPRINTS_OF_BODIES, {"bodies": some})
    }


def _parts(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(bodies), queries.BODIES_AT_ONCE):
        yield bodies[start : start + queries.BODIES_AT_ONCE]
