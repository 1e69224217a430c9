"""Pictures that were let through unscanned, or of which only the first part was scanned: scanned now.

A decision is never forgotten by a failure: it is done only when its picture was scanned, cannot be scanned by anybody,
or is no longer there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from serve_app.domain import (
    RESERVED_SOURCES,
    UNNAMED_SOURCE,
    Decision,
    PictrsUnavailableError,
    PictureGoneError,
    PictureSpoiltError,
    TooLargeError,
    UnscannedReason,
    Verdict,
)
from serve_app.pictrs import PictrsClient, Purger, StoredPicture, may_store, pictures_of
from serve_app.wire import STATUS_BY_REASON, Answer

_UNSCANNABLE = {reason.value for reason, status in STATUS_BY_REASON.items() if status != 503}


class Result(enum.StrEnum):
    """What became of a decision, the mildest first; of several pictures the worst counts."""

    GONE = "gone"
    """pict-rs has no such picture: it was purged, or never stored."""
    ACCEPTED = "accepted"
    """Scanned; it stays."""
    PURGED = "purged"
    """Scanned, rejected, and removed from pict-rs."""
    UNSCANNABLE = "unscannable"
    """No later scan can do better: it stays, and a person has to decide."""
    ELSEWHERE = "elsewhere"
    """Rejected by a hunt; if it is stored, then not in the pict-rs that is asked."""
    REJECTED = "rejected"
    """Scanned and rejected; it is still in pict-rs."""
    LATER = "later"
    """Not scanned this time."""

    @property
    def is_done(self) -> bool:
        """Whether the decision waits for nothing any more."""
        return self not in (Result.REJECTED, Result.LATER)


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a decision: the aliases of its picture, and why.

    Of a picture that was not scanned, ``is_of_picture`` if that is its own fault: the next one may well be scanned.
    """

    decision: Decision
    result: Result
    aliases: tuple[str, ...] = ()
    why: str = ""
    is_of_picture: bool = False


class Scanner(Protocol):
    """The running service; see :class:`~serve_app.storage.Door`."""

    async def scan(self, body: bytes, of_source: str = UNNAMED_SOURCE) -> Answer:
        """The service's answer about these bytes, which it was first asked about by ``of_source``."""
        ...


class Rescanner:
    """Finds, fetches and scans the pictures of pending decisions; purges those that are rejected, if it may."""

    def __init__(
        self,
        pictrs: PictrsClient,
        scanner: Scanner,
        max_body_bytes: int,
        purger: Purger | None = None,
        *,
        of_source: str | None = None,
    ) -> None:
        """Without ``purger`` nothing is purged. ``max_body_bytes``: the service's limit.

        ``of_source`` names the source whose pictures this pict-rs stores; None: there is only one pict-rs.
        """
        self._pictrs = pictrs
        self._scanner = scanner
        self._max_body_bytes = max_body_bytes
        self._purger = purger
        self._of_source = of_source

    async def rescan(self, decision: Decision) -> Finding:
        """Scan the picture that this decision let through.

        Raises:
            PictrsRefusedError: the settings have to be changed first.
            NotScannedError: the service cannot be asked.
            UnauthorisedError: nor with this secret.
        """
        if not may_store(self._of_source, decision):
            why = f"it is a picture of the source {decision.source}, and pictrs.url is that of {self._of_source}"
            return Finding(decision, Result.LATER, why=f"{why} (pictrs.source)", is_of_picture=True)
        severity = list(Result).index
        try:
            found = [await self._scan(decision, picture) async for picture in pictures_of(self._pictrs, decision)]
        except PictrsUnavailableError as error:
            return Finding(decision, Result.LATER, why=str(error))
        return max(found, key=lambda each: severity(each.result), default=self._gone(decision))

    async def _scan(self, decision: Decision, picture: StoredPicture) -> Finding:
        try:
            body = await self._pictrs.original(picture, self._max_body_bytes)
        except PictureGoneError as error:
            return Finding(decision, Result.GONE, why=str(error))
        except TooLargeError as error:
            return Finding(decision, Result.UNSCANNABLE, picture.aliases, str(error))
        except PictureSpoiltError as error:
            return Finding(decision, Result.LATER, picture.aliases, str(error), is_of_picture=True)
        answer = await self._scanner.scan(body, self._of_source or decision.source)
        result = _result_of(answer)
        why = answer.message
        if result is Result.REJECTED and self._purger is not None:
            if await self._purger.purge(picture, f"rescan: {answer.rule or answer.reason}") is None:
                why = f"{why} Not purged: today's quota of purges is used up."
            else:
                result = Result.PURGED
        return Finding(decision, result, picture.aliases, why, answer.reason == UnscannedReason.DEADLINE)

    def _gone(self, decision: Decision) -> Finding:
        """A decision from a time when there were sources may be about a picture of another pict-rs."""
        if self._of_source is not None or decision.source in RESERVED_SOURCES:
            return Finding(decision, Result.GONE, why="pict-rs does not have it")
        why = f"this pict-rs does not have it; that of the source {decision.source} may"
        return Finding(decision, Result.LATER, why=why, is_of_picture=True)


def _result_of(answer: Answer) -> Result:
    if answer.verdict is not None:
        return Result.REJECTED if answer.verdict is Verdict.REJECT else Result.ACCEPTED
    return Result.UNSCANNABLE if answer.reason in _UNSCANNABLE else Result.LATER
