"""Entries made of a decision: an admin allows or denies the picture that it was about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from serve_app.domain import (
    Decision,
    FrameFingerprint,
    Judged,
    Listed,
    ListingError,
    ListMatch,
    RecordedDecision,
    Unscanned,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_NOT_ALLOWED
from serve_app.domain.lists import MIN_QUALITY, EntryDraft, Fingerprint, FingerprintType, ListKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingTerms:
    """What a person says about the entries that are made. ``author`` is the name of the admin's secret.

    ``is_confirmed`` if the flood guard is to leave them alone (:class:`~serve_app.domain.lists.EntryDraft`).
    """

    kind: ListKind
    bank: str
    reason: str
    author: str
    source: str = ""
    expires_at: datetime | None = None
    is_confirmed: bool = False

    def draft(self, fingerprint: Fingerprint) -> EntryDraft:
        """The entry of one fingerprint."""
        return EntryDraft(
            kind=self.kind,
            fingerprint=fingerprint,
            bank=self.bank,
            reason=self.reason,
            source=self.source,
            author=self.author,
            expires_at=self.expires_at,
            is_confirmed=self.is_confirmed,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Fingerprints for a list; ``note`` tells people why there is no PDQ among them, empty if there is one."""

    fingerprints: tuple[Fingerprint, ...]
    note: str = ""


def fingerprints_of(recorded: RecordedDecision, kind: ListKind) -> Selection:
    """The fingerprints by which the picture of a decision is denied or allowed.

    The sha256 of its bytes always, and by appearance as little as is safe:

    * **To deny: the frame that decided, alone.** One denied frame denies a picture, and animations share frames: a
      title, a logo, an empty room. An entry for each of them would refuse harmless animations.
    * **To allow: every frame, or none.** A picture is allowed only if each of its frames is. And an allowed frame
      protects itself from entries that deny what merely resembles it, so that some of the frames would open a gap and
      let nothing through.

    Raises:
        ListingError: to allow it is not safe. Where nobody has scanned a body to its end, it may be the first part of
            a picture of which pict-rs stores all: its sha256 would let the rest through unseen.
    """
    decision, fingerprints = recorded.decision, recorded.fingerprints
    exact = Fingerprint(FingerprintType.SHA256, bytes.fromhex(decision.sha256))
    if kind is ListKind.ALLOW:
        _require_scanned(decision)
    if kind is ListKind.DENY:
        deciding = _deciding_frame(decision)
        fingerprints = tuple(each for each in fingerprints if each.frame == deciding)
    return select(exact, kind, fingerprints)


def select(exact: Fingerprint, kind: ListKind, frames: tuple[FrameFingerprint, ...]) -> Selection:
    """``exact``, and the PDQs of ``frames`` whose quality suffices: to allow, all of them or none."""
    if not frames:
        return Selection((exact,), "no PDQ of it is known: the entry holds for exactly these bytes")
    usable = [each for each in frames if each.quality >= MIN_QUALITY]
    if not usable or (kind is ListKind.ALLOW and len(usable) < len(frames)):
        return Selection(
            (exact,), f"its PDQ has a quality below {MIN_QUALITY}: the entry holds for exactly these bytes"
        )
    unique = {each.pdq: Fingerprint(FingerprintType.PDQ, each.pdq, each.quality) for each in usable}
    return Selection((exact, *unique.values()))


def _require_scanned(decision: Decision) -> None:
    seen = decision.examination
    match decision.outcome:
        case Listed(bank=bank) if bank == CANARY_BANK:
            raise ListingError(CANARY_NOT_ALLOWED)
        case Listed(bank=bank, entry=entry, match=ListMatch.EXACT):
            raise ListingError(
                f"decision {decision.request_id} cannot be allowed: its picture was not scanned, since entry {entry} "
                f"of bank {bank} decided. If that is wrong, remove it: pictwarden list remove {entry}"
            )
        case Listed(bank=bank, entry=entry, is_truncated=None) if seen is None:
            raise ListingError(
                f"decision {decision.request_id} cannot be allowed: an earlier version made it, which did not record "
                f"whether the picture was scanned to its end. If entry {entry} of bank {bank} is wrong, remove it: "
                f"pictwarden list remove {entry}"
            )
        case Judged(is_truncated=is_cut):
            pass
        case Listed(is_truncated=recorded):
            is_cut = seen.is_truncated if seen else bool(recorded)
        case Unscanned():
            is_cut = True
    if is_cut:
        raise ListingError(
            f"decision {decision.request_id} cannot be allowed: its picture was not scanned to its end. If you have "
            "the whole file, allow that: pictwarden list add FILE --allow"
        )


def _deciding_frame(decision: Decision) -> int | None:
    match decision.outcome:
        case Judged(place=place):
            return place.frame
        case Listed(frame=frame):
            return frame
        case Unscanned():
            return None
