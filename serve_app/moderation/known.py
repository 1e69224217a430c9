"""What the lists know of a picture.

Lists that fail count as no match: they refuse nobody's picture by themselves. Lists that do not answer within the
call's deadline leave the picture unscanned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from serve_app.domain import (
    Body,
    Call,
    Decision,
    Examination,
    Judged,
    Listed,
    ListMatch,
    Verdict,
)
from serve_app.domain.lists import FingerprintType, ListKind, ListsHealth, Match, Matches
from serve_app.lists import Snapshot
from serve_app.lists.digests import Digests, digests_of
from serve_app.lists.live import LiveLists
from serve_app.lists.recent import DecidedPicture
from serve_app.logs import EventLogger
from serve_app.moderation.time_limit import until

logger = EventLogger(__name__)

_DIGESTED_ON_THE_LOOP_BYTES: Final = 64 << 10
"""To hash fewer bytes takes less time than to go to a thread and back."""

NOTHING: Final = Matches()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnownBytes:
    """What the exact entries say about a body, and the digests beside its sha256 that were computed to ask them."""

    matches: Matches = NOTHING
    other_digests: Digests = field(default_factory=dict, repr=False)


class KnownPictures:
    """Asks the lists about pictures, off the event loop where that takes long."""

    def __init__(self, lists: LiveLists | None, wall_clock: Callable[[], datetime]) -> None:
        """Without ``lists``, no picture is known."""
        self._lists = lists
        self._wall_clock = wall_clock
        self._latest: Snapshot | None = None
        # Of the latest lists, by banks: sources name few, and send many pictures.
        self._restricted: dict[tuple[str, ...], Snapshot] = {}
        # One thread each: two searches at once would only wait for each other, and no digest waits for a search.
        self._digesting = ThreadPoolExecutor(1, thread_name_prefix="digests")
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="searches")

    def health(self, wanted_banks: Set[str] = frozenset()) -> ListsHealth:
        """Whether the lists are as they should be, and have all of ``wanted_banks``."""
        if self._lists is None:
            return ListsHealth()
        health = self._lists.health()
        missing = sorted(wanted_banks - self._lists.snapshot.banks)
        lacking = f"have no bank {', '.join(missing)}, which sources name" if missing else None
        return replace(health, problem=" and ".join(filter(None, (health.problem, lacking))) or None)

    def snapshot(self, banks: Collection[str] | None = None) -> Snapshot | None:
        """The lists for one decision: of ``banks``, or of all if it is None."""
        if self._lists is None:
            return None
        if (latest := self._lists.snapshot) is not self._latest:
            self._latest, self._restricted = latest, {}
        if banks is None:
            return latest
        key = tuple(banks)
        if key not in self._restricted:
            self._restricted[key] = latest.restricted_to(key)
        return self._restricted[key]

    async def exact(self, lists: Snapshot | None, body: Body, call: Call) -> KnownBytes:
        """What the exact entries say about a body. By its sha256 they answer at once, whatever else waits.

        Raises:
            DeadlineExceededError: no time was left for its md5 and sha1, which some entries ask for.
        """
        if lists is None:
            return KnownBytes()
        at, sha256 = self._wall_clock(), {FingerprintType.SHA256: bytes.fromhex(body.sha256)}
        by_sha256 = _guarded(lambda: lists.exact(sha256, at), call.request_id, NOTHING)
        is_denied = by_sha256.deciding is not None and by_sha256.deciding.entry.kind is ListKind.DENY
        if is_denied or not lists.other_digests:
            return KnownBytes(by_sha256)

        def compare() -> KnownBytes:
            digests = digests_of(body.content, lists.other_digests)
            return KnownBytes(lists.exact({**sha256, **digests}, at), digests)

        def ask() -> KnownBytes:
            return _guarded(compare, call.request_id, KnownBytes(by_sha256))

        if len(body.content) <= _DIGESTED_ON_THE_LOOP_BYTES:
            return ask()
        async with until(call.deadline, "comparing its digests with the lists"):
            return await asyncio.get_running_loop().run_in_executor(self._digesting, ask)

    async def nearest(self, lists: Snapshot | None, seen: Examination, request_id: str) -> Matches:
        """What the perceptual entries say about a picture. The caller bounds the time that it waits.

        Where the end of a file is missing, nothing allows it: nobody knows what stands there.
        """
        if lists is None or not seen.fingerprints:
            return NOTHING
        at = self._wall_clock()

        def ask() -> Matches:
            return _guarded(lambda: lists.nearest(seen.fingerprints, at), request_id, NOTHING)

        if lists.is_nearest_slow:
            found = await asyncio.get_running_loop().run_in_executor(self._searching, ask)
        else:
            found = ask()
        if seen.is_truncated and found.deciding is not None and found.deciding.entry.kind is ListKind.ALLOW:
            return Matches(None, found.shadow)
        return found

    def decided(
        self,
        decision: Decision,
        matched: Match | None,
        other_digests: Digests,
        judged: Judged | None,
        banks: Collection[str] | None = None,
    ) -> None:
        """Tell the lists of a decision, for the flood guard and for entries that are added in this minute.

        Args:
            decision: as it was answered.
            matched: the entry that decided; None if the policy did.
            other_digests: of its body, as :meth:`exact` has them.
            judged: the policy's judgement, also where an entry decided; None if it was not asked.
            banks: those that were asked; None if all were.
        """
        if self._lists is None:
            return
        fingerprints = decision.examination.fingerprints if decision.examination else ()
        picture = DecidedPicture(
            decision.request_id,
            decision.sha256,
            decision.lists_version,
            decision.kept,
            fingerprints,
            is_of_image_server=decision.is_of_image_server,
            other_digests=other_digests,
            kept_by_policy=judged.judgement.verdict.keeps_picture if judged is not None else None,
            banks=banks,
        )
        try:
            self._lists.decided(picture, matched)
        except Exception:
            text = "the lists did not take note of the decision"
            logger.exception("lists_missed_decision", text, request_id=decision.request_id)


def _guarded(ask: Callable[[], T], request_id: str, otherwise: T) -> T:
    try:
        return ask()
    except Exception:
        logger.exception("lists_failed", "the lists failed, and count as no match", request_id=request_id)
        return otherwise


def listed(match: Match, seen: Examination | None = None) -> Listed:
    """The outcome of a picture about which ``match`` decides; of a decoded one with what was ``seen``."""
    is_exact = match.type is not FingerprintType.PDQ
    return Listed(
        verdict=Verdict.ACCEPT if match.entry.kind is ListKind.ALLOW else Verdict.REJECT,
        bank=match.entry.bank,
        entry=str(match.entry.id),
        message=match.entry.reason,
        match=ListMatch.EXACT if is_exact else ListMatch.PERCEPTUAL,
        distance_bits=None if is_exact else match.distance_bits,
        frame=match.frame,
        media_type=seen.media_type if seen else None,
        is_truncated=seen.is_truncated if seen else None,
    )
