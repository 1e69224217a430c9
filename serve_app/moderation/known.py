"""What the lists know of a picture. Lists that fail count as no match: they refuse nobody's picture by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from serve_app.answer_log import AnswerLogger
from serve_app.domain import (
    Body,
    Decision,
    Examination,
    Listed,
    ListMatch,
    Verdict,
)
from serve_app.domain.lists import FingerprintType, ListKind, Match, Matches
from serve_app.lists import Snapshot
from serve_app.lists.live import LiveLists
from serve_app.lists.recent import StoredPicture

logger = AnswerLogger(__name__)

BUDGET_S: Final = 0.5
"""Seconds that a picture waits for the lists: a hundred times what a look-up takes."""

_DIGESTED_ON_THE_LOOP_BYTES: Final = 64 << 10
"""A digest of so many bytes takes less than going to a thread and back."""

NOTHING: Final = Matches()


class KnownPictures:
    """Asks the lists about pictures, off the event loop where that takes long."""

    def __init__(self, lists: LiveLists | None, wall_clock: Callable[[], datetime]) -> None:
        """Without ``lists``, no picture is known."""
        self._lists = lists
        self._wall_clock = wall_clock
        # One thread: two look-ups at once would only wait for each other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look-ups")

    @property
    def problem(self) -> str | None:
        """What is wrong with the lists; None if nothing is."""
        return self._lists.problem if self._lists is not None else None

    def snapshot(self) -> Snapshot | None:
        """The lists for one decision."""
        return self._lists.snapshot if self._lists is not None else None

    async def exact(self, lists: Snapshot | None, body: Body, request_id: str) -> Matches:
        """What the exact entries say about a body."""
        if lists is None:
            return NOTHING
        at, sha256 = self._wall_clock(), bytes.fromhex(body.sha256)
        is_slow = lists.reads_content and len(body.content) > _DIGESTED_ON_THE_LOOP_BYTES
        return await self._asked(lambda: lists.exact(sha256, body.content, at), request_id, is_slow=is_slow)

    async def nearest(self, lists: Snapshot | None, seen: Examination, request_id: str) -> Matches:
        """What the perceptual entries say about a picture.

        Where the end of a file is missing, nothing allows it: nobody knows what stands there.
        """
        if lists is None or not seen.fingerprints:
            return NOTHING
        at = self._wall_clock()
        found = await self._asked(
            lambda: lists.nearest(seen.fingerprints, at), request_id, is_slow=lists.is_nearest_slow
        )
        if seen.is_truncated and found.deciding is not None and found.deciding.entry.kind is ListKind.ALLOW:
            return Matches(None, found.shadow)
        return found

    def decided(self, decision: Decision, matched: Match | None) -> None:
        """Tell the lists of a decision, for the flood guard and for entries that are added in this minute."""
        if self._lists is None:
            return
        fingerprints = decision.examination.fingerprints if decision.examination else ()
        stored = StoredPicture(decision.request_id, decision.sha256, fingerprints) if decision.kept else None
        try:
            self._lists.decided(stored, matched)
        except Exception:
            logger.exception("request %s: the lists did not take note of the decision", decision.request_id)

    async def _asked(self, ask: Callable[[], Matches], request_id: str, *, is_slow: bool) -> Matches:
        try:
            if not is_slow:
                return ask()
            async with asyncio.timeout(BUDGET_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except TimeoutError:
            logger.error("request %s: the lists did not answer within %s s: no match", request_id, BUDGET_S)
        except Exception:
            logger.exception("request %s: the lists failed, and count as no match", request_id)
        return NOTHING


def listed(match: Match) -> Listed:
    """The outcome of a picture about which ``match`` decides."""
    is_exact = match.type is not FingerprintType.PDQ
    return Listed(
        verdict=Verdict.ACCEPT if match.entry.kind is ListKind.ALLOW else Verdict.REJECT,
        bank=match.entry.bank,
        entry=str(match.entry.id),
        message=match.entry.reason,
        match=ListMatch.EXACT if is_exact else ListMatch.PERCEPTUAL,
        distance_bits=None if is_exact else match.distance_bits,
        frame=match.frame,
    )
