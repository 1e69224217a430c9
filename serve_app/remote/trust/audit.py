"""Trust in workers, as lines of the log and entries of the audit, from which notices are made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import AuditEntry, in_words
from serve_app.domain.workers import DISTRUST, TRUST, Doubt, doubts_in, trust_in, trusted_since
from serve_app.logs import EventLogger
from serve_app.remote.trust.reports import Disagreed, Distrusted, PassedProbe, Suspended

logger = EventLogger(__name__)

AGAIN_AFTER_S: Final = 10.0
"""Seconds between two tries to have the ledger know it."""

_MOST_WAITING: Final = 100

_LOOKED_BACK: Final = timedelta(days=366)
"""Decisions are recorded for half of that, unless an admin wants them for longer."""

_WRONG, _DISAGREEMENT, _SUSPENDED = "wrong", "disagreement", "suspended"


class Records(Protocol):
    """Of a ledger what is needed here."""

    async def audit(self, entry: AuditEntry) -> None:
        """Add an entry to the audit."""
        ...

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of an action."""
        ...

    async def forget_scores(self, doubt: Doubt) -> None:
        """Erase the scores in doubt."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A doubt that the ledger does not know yet, or whose scores are not forgotten."""

    doubt: Doubt
    unknown: Sequence[str]
    is_audited: bool = False


class TrustRecord:
    """:class:`serve_app.remote.trust.reports.TrustReports`. For one event loop; close it after use.

    Scores that are in doubt are forgotten, so that the same bytes are scanned anew: their decisions stay.
    """

    def __init__(
        self,
        records: Records,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        *,
        sends_bodies: bool = False,
    ) -> None:
        """``records`` are tried until they have taken who is trusted, and what is in doubt.

        ``sends_bodies`` if workers may get whole files, in an earlier run too.
        """
        self._records = records
        self._sleep = sleep
        self._sends_bodies = sends_bodies
        self._dropped: Counter[str] = Counter(dict.fromkeys((_WRONG, _DISAGREEMENT, _SUSPENDED), 0))
        self._trusted: set[str] = set()
        self._trusts: list[AuditEntry] = []
        self._waiting: list[_Waiting] = []
        self._recording: asyncio.Task[None] | None = None

    @property
    def dropped_workers(self) -> Mapping[str, int]:
        """How often workers were dropped, or two contradicted each other, since the start."""
        return dict(self._dropped)

    def passed(self, report: PassedProbe) -> None:
        """See :class:`~serve_app.remote.trust.reports.TrustReports`. Only the first one of a worker has a line."""
        if report.ends_trial:
            text = f"the worker {report.worker} is trusted: it has passed its trial, against {report.compared_with}"
            logger.info(
                "worker_trusted",
                text,
                worker=report.worker,
                owner=report.owner,
                compared_with=report.compared_with,
            )
            # Once in a run, until it is in doubt: a worker behind a bad line passes a trial every few minutes.
            if report.worker not in self._trusted:
                self._trusted.add(report.worker)
                self._trusts = [*self._trusts, trust_in(report.worker, report.at)][-_MOST_WAITING:]
                self._record()

    def distrusted(self, report: Distrusted) -> None:
        """See :class:`~serve_app.remote.trust.reports.TrustReports`."""
        self._dropped[_WRONG] += 1
        since = report.last_good_at
        text = f"the worker {report.worker} scored wrongly and was dropped: {report.why}"
        if since is not None:
            text += f"; its decisions since {since.isoformat(timespec='seconds')} are in doubt"
        logger.error(
            "worker_distrusted",
            text,
            worker=report.worker,
            owner=report.owner,
            why=report.why,
            since=report.last_good_at,
        )
        unknown = (report.worker,) if since is None else ()
        self._doubt(Doubt((report.worker,), report.at, since, report.why, report.has_decoded), unknown)

    def disagreed(self, report: Disagreed) -> None:
        """See :class:`~serve_app.remote.trust.reports.TrustReports`."""
        self._dropped[_DISAGREEMENT] += 1
        one, other = report.workers
        logger.error(
            "workers_disagree",
            report.why,
            request_id=report.request_id,
            worker=one,
            other=other,
            why=report.why,
            since=report.last_good_at,
            on_trial=report.on_trial,
        )
        doubt = Doubt(report.workers, report.at, report.last_good_at, report.why, report.has_decoded)
        self._doubt(doubt, report.never_good)

    def suspended(self, report: Suspended) -> None:
        """See :class:`~serve_app.remote.trust.reports.TrustReports`."""
        self._dropped[_SUSPENDED] += 1
        logger.warning(
            "worker_suspended",
            f"the worker {report.worker} was dropped for {report.for_s:.0f} s: {report.why}",
            worker=report.worker,
            owner=report.owner,
            why=report.why,
            for_s=report.for_s,
        )

    async def close(self) -> None:
        """What the ledger does not know yet is in the log alone."""
        if self._recording is not None:
            self._recording.cancel()
            await asyncio.gather(self._recording, return_exceptions=True)

    def _doubt(self, doubt: Doubt, unknown: Sequence[str]) -> None:
        """``unknown`` are those of its workers that have passed nothing in this run of the front."""
        self._trusted.difference_update(doubt.workers)
        self._waiting = [*self._waiting, _Waiting(doubt, unknown)][-_MOST_WAITING:]
        self._record()

    def _record(self) -> None:
        if self._recording is None or self._recording.done():
            self._recording = asyncio.create_task(self._keep_recording(), name="recording trust")

    async def _keep_recording(self) -> None:
        is_told = False
        while self._trusts or self._waiting:
            try:
                await self._record_some()
            except Exception as error:
                if not is_told:
                    why = in_words(error)
                    text = (
                        f"the ledger does not know yet which workers are trusted or in doubt, and is tried again: {why}"
                    )
                    logger.error("trust_unrecorded", text, why=why)
                is_told = True
                await self._sleep(AGAIN_AFTER_S)
                continue
            is_told = False

    async def _record_some(self) -> None:
        # The audit first, of all that wait: forgetting takes long, and from its entry on nothing in doubt is recalled.
        for entry in tuple(self._trusts):
            await self._records.audit(entry)
            self._trusts = [each for each in self._trusts if each is not entry]
        for waiting in tuple(self._waiting):
            if not waiting.is_audited:
                await self._reach_back(waiting)
                await self._records.audit(waiting.doubt.entry())
                waiting.is_audited = True
        if self._waiting:
            first = self._waiting[0]
            if first.doubt.since is not None:
                await self._records.forget_scores(first.doubt)
            self._waiting = [each for each in self._waiting if each is not first]

    async def _reach_back(self, waiting: _Waiting) -> None:
        """Have a doubt include what its workers had scored in earlier runs of the front."""
        doubt, unknown = waiting.doubt, waiting.unknown
        if not unknown:
            return
        earliest = doubt.at - _LOOKED_BACK
        trusts = await self._records.audited(TRUST, earliest)
        doubts = doubts_in(await self._records.audited(DISTRUST, earliest))
        waiting.unknown = ()
        moments = [at for each in unknown if (at := trusted_since(each, trusts, doubts)) is not None]
        if not moments:
            return
        since = min([*moments, *([doubt.since] if doubt.since is not None else [])])
        has_decoded = doubt.has_decoded or self._sends_bodies
        waiting.doubt = replace(doubt, since=since, has_decoded=has_decoded)
        workers = " and ".join(unknown)
        text = (
            f"decisions of {workers} since {since.isoformat(timespec='seconds')}, of an earlier run, are in doubt too"
        )
        logger.error("doubt_reaches_back", text, worker=unknown[0], since=since)
