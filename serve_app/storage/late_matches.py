"""Pictures that were let through moments before an entry that denies them: their decisions wait for a rescan."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import Decision, DecisionFilter, DecisionPage, UnavailableError
from serve_app.lists.asking import in_thread
from serve_app.lists.live import LiveLists
from serve_app.lists.recent import MAX_REMEMBERED, REMEMBERED_S, DecidedPicture, LateMatch
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

LOOK_EVERY_S: Final = 4.0

_TRIES: Final = 900
"""An hour: for as long, a decision may be in the ledger's spool, where nothing can be changed."""

_READ_AT_ONCE: Final = 200


class Archive(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def search(
        self,
        wanted: DecisionFilter,
        limit: int = 100,
        cursor: str | None = None,
        *,
        with_examinations: bool = False,
    ) -> DecisionPage:
        """The newest decisions that ``wanted`` includes."""
        ...

    async def reopen(self, request_id: str, why: str) -> bool:
        """Have the picture of a decision scanned again."""
        ...


async def reopen_late_matches(
    lists: LiveLists,
    archive: Archive,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Mark the decisions on such pictures of this process as pending, until this is cancelled.

    It begins with the decisions of the minute before: the process that made them may have ended before it compared
    them, or had what it found marked.
    """
    started_at, is_recalled = wall_clock(), False
    waiting: list[tuple[LateMatch, int]] = []
    while True:
        is_recalled = is_recalled or await _recall(lists, archive, started_at)
        waiting += [(late, _TRIES) for late in await _late_matches(lists)]
        still: list[tuple[LateMatch, int]] = []
        for late, tries in waiting:
            if await _reopen(late, archive):
                continue
            if tries > 1:
                still.append((late, tries - 1))
            else:
                text = "its decision is not recorded: purge the picture"
                logger.error("late_match_unrecorded", text, request_id=late.picture.request_id)
        waiting = still
        await sleep(LOOK_EVERY_S)


async def _recall(lists: LiveLists, archive: Archive, before: datetime) -> bool:
    """Have the lists remember what was let through in the minute before; False if that is to be tried again."""
    wanted = DecisionFilter(since=before - timedelta(seconds=REMEMBERED_S), until=before)
    pictures: list[DecidedPicture] = []
    cursor = None
    try:
        while len(pictures) < MAX_REMEMBERED:
            page = await archive.search(wanted, _READ_AT_ONCE, cursor, with_examinations=True)
            pictures += [_picture(each.decision) for each in page.records if not (each.is_pending or each.done_at)]
            cursor = page.cursor
            if cursor is None:
                break
    except Exception:
        return False  # the ledger says what is wrong with the database
    for each in reversed(pictures):
        lists.remember(each)
    return True


def _picture(decision: Decision) -> DecidedPicture:
    return DecidedPicture(
        decision.request_id,
        decision.sha256,
        decision.lists_version,
        decision.kept,
        decision.examination.fingerprints if decision.examination else (),
        is_of_image_server=decision.is_of_image_server,
    )


async def _late_matches(lists: LiveLists) -> list[LateMatch]:
    try:
        return await in_thread(lists.take_late_matches)
    except UnavailableError:
        return []  # they wait


async def _reopen(late: LateMatch, archive: Archive) -> bool:
    try:
        return await archive.reopen(late.picture.request_id, f"entry {late.match.entry.id} denies it")
    except Exception:
        return False  # the ledger says what is wrong with the database
