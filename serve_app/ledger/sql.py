"""The ledger in a database, with a spool for the times at which that cannot be written.

A decision is committed before it is answered, by a thread that commits whatever waits in one transaction. If that does
not happen in time, or fails, the decision goes to the spool, and so does every later one until the database has taken
back what is in the spool, in order. Nobody waits for a database that is known not to answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from serve_app.concurrency.coalescing import Coalescer
from serve_app.database.access import Database, is_outage
from serve_app.database.lease import Lease
from serve_app.domain import Decision, Erased, Judged, LedgerHealth, Recollection, in_words
from serve_app.domain.limits import MediaLimits
from serve_app.ledger import queries
from serve_app.ledger.distrusted import has_scores_of_workers, is_in_doubt, without_distrusted
from serve_app.ledger.encoding import body_key
from serve_app.ledger.entries import Choose, Entry, EntryWriter
from serve_app.ledger.forgotten import without_forgotten
from serve_app.ledger.group_commit import FullQueueError, GroupCommit
from serve_app.ledger.refused_decisions import RefusedDecisions
from serve_app.ledger.retaining import Retaining
from serve_app.ledger.rows import model_key_of, outcome_of
from serve_app.ledger.spool import FullSpoolError, Spool, abandoned_spools
from serve_app.ledger.sql_archive import SqlArchive
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

COMMIT_WAIT_S = 0.1
"""Seconds that a decision waits for its commit. Of the 0.2 s for a sink (serve_app/moderation/sinks.py) the rest is for
the spool."""

_TAKEN_BACK_AT_ONCE = 200
_RECALLING_THREADS = 2
_RECALLED_AT_ONCE = 16

_CLOSE_S = 2.0
_SEARCHED_EVERY_S = 30.0


class SqlLedger(SqlArchive):
    """:class:`serve_app.domain.Ledger` and its archive over a database. For one event loop."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        commit_wait_s: float = COMMIT_WAIT_S,
        limits: MediaLimits | None = None,
    ) -> None:
        """Start its threads. :meth:`close` ends them.

        Examinations are recalled under the same ``limits`` as far as these change what is seen.
        """
        super().__init__(database, wall_clock)
        self._spool = spool
        self._media_key = (limits or MediaLimits()).media_key
        self._commit_wait_s = commit_wait_s
        self._problem: str | None = None
        self._next_search_s = 0.0
        self._abandoned: list[Spool] = []
        self._taken_back = 0
        # What was not recorded in time, and what could not be taken back: each is counted by one thread.
        self._missed = self._faulty = 0
        self._refused = RefusedDecisions(database)
        self._writer = EntryWriter(database)
        self._commits: GroupCommit[Decision] = GroupCommit(self._commit, "ledger-commits", self._take_back)
        self._spooling: GroupCommit[Decision] = GroupCommit(self._append, "ledger-spool")
        # A picture on its way waits for no admin's query.
        self._recalling = ThreadPoolExecutor(_RECALLING_THREADS, thread_name_prefix="ledger-recall")
        self._recalls = Coalescer(self._recalling, self._recollections, _RECALLING_THREADS, _RECALLED_AT_ONCE)
        retaining = Retaining(Lease(database, "ledger-retention").hold, self._prune_now, lambda: self._problem is None)
        self._erasing = threading.Thread(
            target=retaining.run, args=(self._is_closed.wait,), name="ledger-retention", daemon=True
        )
        self._erasing.start()

    def close(self) -> None:
        """Commit what waits, if the database answers, and end the threads."""
        self._is_closed.set()
        began_s = time.monotonic()
        self._commits.close(_CLOSE_S)
        self._spooling.close(_CLOSE_S)
        self._recalling.shutdown(wait=False, cancel_futures=True)
        # Where the database hangs, the others have waited long enough.
        self._erasing.join(max(0.0, began_s + _CLOSE_S - time.monotonic()))
        for spool in (self._spool, *self._abandoned):
            spool.close()
        super().close()

    async def record(self, decision: Decision) -> None:
        """See :class:`~serve_app.domain.Sink`.

        Raises:
            FullSpoolError: the database cannot be written, and the spool has no room for this decision.
            FullQueueError: nor is the spool written in time.
            OSError: neither of them can be written.
        """
        try:
            await self._record(decision)
        except BaseException:
            self._missed += 1
            if decision.is_pending:
                self._refused.note(decision.request_id)  # it may be recorded all the same, later
            raise

    async def _record(self, decision: Decision) -> None:
        if self._problem is None:
            try:
                async with asyncio.timeout(self._commit_wait_s):
                    await self._commits.put(decision)
            except (TimeoutError, FullQueueError):
                self._note_problem("does not answer")
            except Exception as error:
                if not is_outage(error):
                    raise
            else:
                return
        await self._spooling.put(decision)

    async def recall(self, sha256: str, model_digest: str) -> Recollection | None:
        """See :class:`~serve_app.domain.Ledger`. Nothing is recalled while the database cannot be written."""
        if self._problem is not None:
            return None
        try:
            return await self._recalls.do((body_key(sha256), model_key_of(model_digest, self._media_key)))
        except Exception as error:
            if is_outage(error):
                self._note_problem("cannot be read", error)
            raise

    def health(self) -> LedgerHealth:
        """See :class:`~serve_app.domain.Ledger`."""
        return LedgerHealth(
            self._problem, len(self._spool), self._missed + self._faulty, self._spool.waiting_bytes, self._spool.lag_s
        )

    # In the threads that recall

    def _recollections(self, keys: Sequence[tuple[bytes, int]]) -> Sequence[Recollection | Exception | None]:
        """Of bodies and the keys of models: most are of bodies that nobody has seen, and are asked for in one go."""
        self._database.prepare()
        with self._database.reading() as connection:
            seen = set(keys)
            if len(keys) > 1:
                bodies = {"bodies": [body for body, _ in keys]}
                seen = {(row.sha256, row.model_key) for row in connection.execute(queries.KEYS_SEEN_OF_BODIES, bodies)}
            return [self._recollection_or_error(connection, *key) if key in seen else None for key in keys]

    def _recollection_or_error(
        self, connection: Connection, sha256: bytes, model_key: int
    ) -> Recollection | Exception | None:
        """An error of one that is none of the database, and so of no other."""
        try:
            return self._recollection(connection, sha256, model_key)
        except Exception as error:
            if is_outage(error):
                raise
            return error

    def _recollection(self, connection: Connection, sha256: bytes, model_key: int) -> Recollection | None:
        seen = self._seen(connection, sha256, model_key)
        if seen is None or seen[0].is_truncated:
            return None
        row = connection.execute(queries.JUDGED, {"sha256": sha256, "model_key": model_key}).mappings().one_or_none()
        judged = None if row is None else outcome_of(row)
        if row is None or not isinstance(judged, Judged):
            return Recollection(*seen)
        if is_in_doubt(connection, row["worker"], row["decided_at_us"]):
            return Recollection(*seen)  # these scores are honest, and the judgement may rest on others
        return Recollection(*seen, judged, row["policy_digest"])

    def _note_problem(self, problem: str, error: Exception | None = None) -> None:
        if self._problem is None:
            why = in_words(error) if error else None
            text = f"the ledger {problem}{f' ({why})' if why else ''}: decisions wait in its spool"
            logger.error("ledger_failed", text, problem=problem, why=why)
        self._problem = problem

    # In the thread that commits

    def _commit(self, decisions: Sequence[Decision]) -> list[Exception | None]:
        makers = [partial(Entry.of, decision, self._media_key) for decision in decisions]
        return self._write_entries(makers, self._not_distrusted)

    def _write_entries(self, makers: Sequence[Callable[[], Entry]], choose: Choose) -> list[Exception | None]:
        """Commit all in one transaction. If one of them is at fault, it alone is not committed."""
        try:
            self._writer.write([make() for make in makers], choose)
        except Exception as error:
            if is_outage(error):
                self._note_problem("cannot be written", error)
            elif len(makers) > 1:
                return [result for make in makers for result in self._write_entries([make], choose)]
            return [error] * len(makers)
        return [None] * len(makers)

    def _take_back(self) -> bool:
        """Bring some of what is in spools into the database: whether there may be more.

        A little at a time, because new decisions wait meanwhile.
        """
        is_idle = self._problem is None and not len(self._spool) and not self._abandoned and not self._refused.is_due()
        if is_idle and not self._is_search_due():
            return False
        try:
            if self._problem is not None:
                self._database.probe()
            count = self._take_some(self._spool)
            if len(self._spool) <= _TAKEN_BACK_AT_ONCE:
                # New decisions need not go through the spool any more; otherwise it might never become empty.
                self._problem = None
            count = count or self._take_from_abandoned()
            self._refused.correct(self._wall_clock(), is_all_recorded=self._problem is None and not len(self._spool))
        except Exception as error:
            self._note_problem("cannot be written", error)
            return False
        self._taken_back += count
        if not count and self._taken_back:
            text = f"the ledger has taken back {self._taken_back} decisions from its spool"
            logger.info("spool_taken_back", text, decisions=self._taken_back)
            self._taken_back = 0
        return count > 0

    def _take_from_abandoned(self) -> int:
        """Bring some of what is in the spools of dead processes into the database: how many entries."""
        if self._is_search_due():
            self._next_search_s = time.monotonic() + _SEARCHED_EVERY_S
            self._abandoned += abandoned_spools(self._spool.file.parent, self._database.location.name)
        while self._abandoned:
            if count := self._take_some(self._abandoned[0]):
                return count
            self._abandoned.pop(0).close()
        return 0

    def _is_search_due(self) -> bool:
        return time.monotonic() >= self._next_search_s

    def _take_some(self, spool: Spool) -> int:
        """Bring the first entries of a spool into the database: how many."""
        entries = spool.waiting(_TAKEN_BACK_AT_ONCE)
        errors = self._write_entries([partial(_same, entry) for entry in entries], self._not_forgotten)
        for entry, error in zip(entries, errors, strict=True):
            if error is not None and is_outage(error):
                raise error
            if error is not None:
                self._faulty += 1
                why = in_words(error)
                text = f"the decision cannot be recorded ({why})"
                logger.error("decision_unrecordable", text, request_id=entry.request_id, why=why)
        if entries:
            spool.take(len(entries))
        return len(entries)

    def _not_forgotten(self, connection: Connection, entries: Sequence[Entry]) -> Sequence[Entry]:
        self._database.wait_for_others(connection)  # one that forgets would not see these entries, nor they its scope
        return self._not_distrusted(connection, without_forgotten(connection, entries))

    def _not_distrusted(self, connection: Connection, entries: Sequence[Entry]) -> Sequence[Entry]:
        if not has_scores_of_workers(entries):
            return entries
        self._database.share_scores(connection)
        return without_distrusted(connection, entries)

    # In the thread of the spool

    def _append(self, decisions: Sequence[Decision]) -> list[Exception | None]:
        made = [self._made(decision) for decision in decisions]
        try:
            added = iter(self._spool.append([each for each in made if isinstance(each, Entry)]))
        except Exception as error:
            return [error] * len(decisions)
        full = FullSpoolError("the ledger's spool is full")
        return [each if isinstance(each, Exception) else None if next(added) else full for each in made]

    def _made(self, decision: Decision) -> Entry | Exception:
        """What is written for ``decision``, or why nothing can be; the others are written all the same."""
        try:
            return Entry.of(decision, self._media_key)
        except Exception as error:
            return error

    # In the thread of the retention

    def _prune_now(self, goes_on: Callable[[], bool]) -> Erased:
        return self.prune_in_thread(self._wall_clock(), goes_on)


def _same(entry: Entry) -> Entry:
    return entry
