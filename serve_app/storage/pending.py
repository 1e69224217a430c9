"""All decisions that wait for a scan, newest first: those are the pictures that people are looking at.

Each comes once in a run: it is done, or left for the next run. One that pict-rs may not have stored yet comes again
in the same run. Those that come during a run are next, as soon as the few that were read before are over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import DecisionFilter, DecisionPage, RecordedDecision, UnavailableError
from serve_app.pictrs import STORED_WITHIN
from serve_app.storage.rescan import Finding, Rescanner, Result

MAX_LATER_IN_A_ROW = 16
"""Pictures that the service or pict-rs failed on, and none scanned between: then no further picture mends it."""

_AT_ONCE: Final = 20
"""Decisions that are read together: no newer one comes before they are over."""

_NEW_ONES_EVERY: Final = timedelta(seconds=5)

_AGAIN_WITHIN: Final = timedelta(minutes=3)
"""After a decision was made: it may be recorded late, or stored late. What takes longer is left for the next run."""


class Archive(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def search(self, wanted: DecisionFilter, limit: int = 100, cursor: str | None = None) -> DecisionPage:
        """The newest decisions that are wanted."""
        ...

    async def mark_done(self, request_id: str, how: str) -> bool:
        """The picture of a pending decision was dealt with."""
        ...


async def rescan_pending(
    archive: Archive,
    rescanner: Rescanner,
    wall_clock: Callable[[], datetime],
    is_due: Callable[[str], bool] = lambda request_id: True,
) -> AsyncGenerator[Finding, None]:
    """Rescan each pending decision, and say what became of it.

    With a ``wall_clock`` that stands still, those that are made meanwhile are left for the next run.

    Ended at any place, it goes on from there the next time: what is done is marked before it is said. Decisions that
    are not due, by their request id, are left out.

    Raises:
        UnavailableError: the service or pict-rs failed on several pictures in a row.
        PictrsRefusedError: the settings have to be changed first.
        UnauthorisedError: nor is the secret right.
    """
    waiting, left, later = _NewestFirst(archive, wall_clock), set[str](), 0
    while (records := await waiting.next_ones()) is not None:
        for decision in (record.decision for record in records):
            if decision.request_id in left or not is_due(decision.request_id):
                continue
            finding = await rescanner.rescan(decision)
            is_early = finding.result is Result.GONE and decision.decided_at > wall_clock() - STORED_WITHIN
            if is_early:
                # pict-rs stores a picture after it has our answer.
                why = "pict-rs may not have stored it yet"
                finding = replace(finding, result=Result.LATER, why=why, is_of_picture=True)
            if finding.result.is_done:
                await archive.mark_done(decision.request_id, f"rescan: {finding.result}")
            elif not is_early:
                left.add(decision.request_id)
            yield finding
            if finding.result is not Result.LATER:
                later = 0
            elif not finding.is_of_picture:
                later += 1
            if later == MAX_LATER_IN_A_ROW:
                raise UnavailableError(f"{later} pictures in a row could not be scanned: {finding.why}")


@dataclass(slots=True)
class _Stretch:
    """Of the decisions of some time: those behind ``cursor`` are not read yet."""

    wanted: DecisionFilter
    cursor: str | None = None


class _NewestFirst:
    """Pending decisions, some at a time. Those of the last minutes may come again for as long as they are pending."""

    def __init__(self, archive: Archive, wall_clock: Callable[[], datetime]) -> None:
        self._archive, self._wall_clock = archive, wall_clock
        self._stretches: list[_Stretch] = []
        self._read_until = wall_clock()
        self._add(None)

    async def next_ones(self) -> Sequence[RecordedDecision] | None:
        """The newest of those that are not read yet; None after the last."""
        if not self._stretches:
            return None
        if (now := self._wall_clock()) >= self._read_until + _NEW_ONES_EVERY:
            since, self._read_until = self._read_until - _AGAIN_WITHIN, now
            self._add(since)
        stretch = self._stretches[-1]
        page = await self._archive.search(stretch.wanted, _AT_ONCE, stretch.cursor)
        stretch.cursor = page.cursor
        if page.cursor is None:
            self._stretches.pop()
        return page.records

    def _add(self, since: datetime | None) -> None:
        wanted = DecisionFilter(is_pending=True, since=since, until=self._read_until, is_canary=None)
        self._stretches.append(_Stretch(wanted))
