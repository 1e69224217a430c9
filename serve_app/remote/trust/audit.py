"""Trust in workers, as lines of the log and entries of the audit, from which notices are made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from serve_app.domain.workers import Doubt
from serve_app.logs import EventLogger
from serve_app.remote.trust.recording import Recording, Records
from serve_app.remote.trust.reports import Disagreed, Distrusted, PassedProbe, Suspended

logger = EventLogger(__name__)

_WRONG, _DISAGREEMENT, _SUSPENDED = "wrong", "disagreement", "suspended"


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
        self._recording = Recording(records, sleep, sends_bodies=sends_bodies)
        self._dropped: Counter[str] = Counter(dict.fromkeys((_WRONG, _DISAGREEMENT, _SUSPENDED), 0))

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
            self._recording.trust(report.worker, report.at)

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
        self._recording.doubt(Doubt((report.worker,), report.at, since, report.why, report.has_decoded), unknown)

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
        self._recording.doubt(doubt, report.never_good)

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
        await self._recording.close()
