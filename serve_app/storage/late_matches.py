"""Pictures that were let through moments before an entry that denies them: their decisions wait for a rescan."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from serve_app.answer_log import AnswerLogger
from serve_app.lists.live import LiveLists
from serve_app.lists.recent import LateMatch

logger = AnswerLogger(__name__)

LOOK_EVERY_S: Final = 4.0

_TRIES: Final = 900
"""An hour: for as long, a decision may be in the ledger's spool, where nothing can be changed."""


class Archive(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def reopen(self, request_id: str, why: str) -> bool:
        """Have the picture of a decision scanned again."""
        ...


async def reopen_late_matches(
    lists: LiveLists, archive: Archive, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Mark the decisions on such pictures of this process as pending, until this is cancelled."""
    waiting: list[tuple[LateMatch, int]] = []
    while True:
        waiting += [(late, _TRIES) for late in lists.take_late_matches()]
        still: list[tuple[LateMatch, int]] = []
        for late, tries in waiting:
            if await _reopen(late, archive):
                continue
            if tries > 1:
                still.append((late, tries - 1))
            else:
                logger.error("request %s: its decision is not recorded: purge the picture", late.picture.request_id)
        waiting = still
        await sleep(LOOK_EVERY_S)


async def _reopen(late: LateMatch, archive: Archive) -> bool:
    try:
        return await archive.reopen(late.picture.request_id, f"entry {late.match.entry.id} denies it")
    except Exception:
        return False  # the ledger says what is wrong with the database
