"""Pictures that were accepted, and would be rejected today."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from serve_app.domain import Decision, DecisionArchive, DecisionFilter, FrameFingerprint, Judgement, RecordedDecision
from serve_app.domain.lists import FingerprintType, Match


@dataclass(frozen=True, slots=True)
class Suspect:
    """The decision that let a picture through, and what rejects it now: an entry, or a rule of the policy.

    ``fingerprints`` are those of its picture.
    """

    recorded: RecordedDecision
    cause: Match | Judgement
    fingerprints: tuple[FrameFingerprint, ...] = ()

    @property
    def cause_name(self) -> str:
        """For the audit."""
        match self.cause:
            case Match(entry=entry):
                return f"entry {entry.id} in bank {entry.bank}"
            case Judgement(rule=rule):
                return f"rule {rule}"

    @property
    def command(self) -> str:
        """What removes such pictures."""
        return f"pictwarden hunt {'--policy ' if isinstance(self.cause, Judgement) else ''}--purge"

    @property
    def why(self) -> str:
        """For people."""
        match self.cause:
            case Match(entry=entry, type=type_, distance_bits=bits):
                how = f"pdq, {bits} bits" if type_ is FingerprintType.PDQ else type_
                return f"{self.cause_name} ({how}): {entry.reason}"
            case Judgement(margin=margin, message=message):
                how = "" if margin is None else f" (margin {margin:+.3f})"
                return f"{self.cause_name}{how}: {message}"


class Likeliest:
    """Of the suspects of one body the one whose picture pict-rs is the likeliest to have, or else the newest one.

    That is one that it ``may_store``, and of these one of the image server: others may be the caller's own, or were
    found by a scan of what is stored.
    """

    def __init__(self, may_store: Callable[[Decision], bool]) -> None:
        self._may_store = may_store
        self._best = -1
        self.suspect: Suspect | None = None

    def is_less_likely(self, decision: Decision) -> bool:
        """Whether a suspect with this decision, older than those so far, would not be taken."""
        return self._likelihood(decision) <= self._best

    def take(self, suspect: Suspect) -> None:
        """The likeliest one so far."""
        self.suspect, self._best = suspect, self._likelihood(suspect.recorded.decision)

    def _likelihood(self, decision: Decision) -> int:
        return 2 * self._may_store(decision) + decision.is_of_image_server


async def fingerprints_of(archive: DecisionArchive, sha256: str) -> tuple[FrameFingerprint, ...]:
    """Those of a body, whichever decision on it was the one that examined it; empty if none has."""
    async for recorded in decisions_on(archive, sha256):
        if recorded.fingerprints:
            return recorded.fingerprints
    return ()


async def decisions_on(archive: DecisionArchive, sha256: str) -> AsyncIterator[RecordedDecision]:
    """All of them, newest first: a picture that is refused a thousand times a day may have been accepted before."""
    cursor = None
    while True:
        page = await archive.search(DecisionFilter(sha256=sha256), cursor=cursor, with_examinations=True)
        for recorded in page.records:
            yield recorded
        cursor = page.cursor
        if cursor is None:
            return
