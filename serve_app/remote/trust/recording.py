"""What the ledger has to know of trust: who passed a trial, and what is in doubt; tried until it has taken all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import AuditEntry, in_words
from serve_app.domain.workers import DISTRUST, TRUST, Doubt, doubts_in, trust_in, trusted_since
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

AGAIN_AFTER_S: Final = 10.0
"""Seconds between two tries to have the ledger know it."""

_MOST_WAITING: Final = 100

_LOOKED_BACK: Final = timedelta(days=366)
"""Decisions are recorded for half of that, unless an admin wants them for longer."""


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


class Recording:
    """Entries of the audit, and scores that are forgotten. For one event loop; close it after use."""

    def __init__(self, records: Records, sleep: Callable[[float], Awaitable[object]], *, sends_bodies: bool) -> None:
        """``sends_bodies`` if workers may get whole files, in an earlier run too."""
        self._records, self._sleep, self._sends_bodies = records, sleep, sends_bodies
        self._trusted: set[str] = set()
        self._trusts: list[AuditEntry] = []
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def trust(self, worker: str, at: datetime) -> None:
        """``worker`` has passed a trial, whose first picture was sent ``at``."""
        # Once in a run, until it is in doubt: a worker behind a bad line passes a trial every few minutes.
        if worker not in self._trusted:
            self._trusted.add(worker)
            self._trusts = [*self._trusts, trust_in(worker, at)][-_MOST_WAITING:]
            self._go_on()

    def doubt(self, doubt: Doubt, unknown: Sequence[str]) -> None:
        """``unknown`` are those of its workers that have passed nothing in this run of the front."""
        self._trusted.difference_update(doubt.workers)
        self._waiting = [*self._waiting, _Waiting(doubt, unknown)][-_MOST_WAITING:]
        self._go_on()

    async def close(self) -> None:
        """What the ledger does not know yet is in the log alone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _go_on(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_recording(), name="recording trust")

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
