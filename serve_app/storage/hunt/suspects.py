"""Pictures that were accepted, and would be rejected today."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from serve_app.domain import DecisionArchive, DecisionFilter, FrameFingerprint, Judgement, RecordedDecision
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
