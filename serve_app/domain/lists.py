"""Lists of known pictures: entries that allow or deny, their banks, and matches with them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from serve_app.domain.canary import CANARY_NOT_ALLOWED, CANARY_PDQ, CANARY_SHA256

DENY_RADIUS_BITS: Final = 31
"""A PDQ within this Hamming distance of a deny entry matches: PDQ's own recommendation."""

ALLOW_RADIUS_BITS: Final = 8
"""Of an allow entry. An entry that lets pictures through must not be forged as easily as one that stops them."""

MIN_QUALITY: Final = 50
"""A PDQ of a lower quality belongs to a featureless picture, resembles thousands of others, and matches nothing."""


class ListKind(enum.StrEnum):
    """What an entry decides about the pictures that it matches."""

    ALLOW = "allow"
    DENY = "deny"


class FingerprintType(enum.StrEnum):
    """The hash that an entry is compared by. ``md5`` and ``sha1`` are for lists that others publish."""

    SHA256 = "sha256"
    SHA1 = "sha1"
    MD5 = "md5"
    PDQ = "pdq"

    @property
    def digest_bytes(self) -> int:
        """How many bytes a digest of this type has."""
        return _DIGEST_BYTES[self]


_DIGEST_BYTES = {
    FingerprintType.SHA256: 32,
    FingerprintType.SHA1: 20,
    FingerprintType.MD5: 16,
    FingerprintType.PDQ: 32,
}

EXACT_TYPES: Final = (FingerprintType.SHA256, FingerprintType.SHA1, FingerprintType.MD5)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of one entry. ``quality`` belongs to a PDQ alone; published lists leave it out, which counts as enough.

    Raises:
        ValueError: the digest has the wrong length, or the quality is out of range.
    """

    type: FingerprintType
    digest: bytes = field(repr=False)
    quality: int | None = None

    def __post_init__(self) -> None:
        if len(self.digest) != self.type.digest_bytes:
            raise ValueError(f"a {self.type} has {self.type.digest_bytes} bytes, and not {len(self.digest)}")
        if self.quality is not None and (self.type is not FingerprintType.PDQ or not 0 <= self.quality <= 100):
            raise ValueError("a quality is a number from 0 to 100, of a pdq")

    @property
    def can_match(self) -> bool:
        """Whether the quality suffices."""
        return self.quality is None or self.quality >= MIN_QUALITY

    def require_match(self) -> None:
        """Check that an entry of this fingerprint does something.

        Raises:
            ValueError: its quality does not suffice.
        """
        if not self.can_match:
            raise ValueError(f"a {self.type} of a quality below {MIN_QUALITY} matches nothing")


@dataclass(frozen=True, slots=True)
class Bank:
    """A named list of entries with the same rights.

    Entries of a *shadow* bank match and are recorded, and decide nothing. A bank under contract is *not exportable*:
    its fingerprints never leave the service, nor do they reach its logs.
    """

    name: str
    is_shadow: bool = False
    is_exportable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDraft:
    """An entry before it is stored: its id and its time come from the store.

    The flood guard leaves an entry alone that *is confirmed*: a person has banned its picture, or has confirmed the
    entry. It may suspend what one person has put on a list, which may be a mistake, or spite.

    Raises:
        ValueError: an allow entry of the canary, or by md5 or sha1. Two files with the same md5 or sha1 can be made on
            purpose, so that a harmless one, once allowed, would let the other one through.
    """

    kind: ListKind
    fingerprint: Fingerprint
    bank: str
    reason: str
    source: str = ""
    author: str = ""
    expires_at: datetime | None = None
    is_confirmed: bool = False

    def __post_init__(self) -> None:
        if self.kind is not ListKind.ALLOW:
            return
        if self.fingerprint.type in {FingerprintType.MD5, FingerprintType.SHA1}:
            raise ValueError(f"a picture is allowed by its sha256 or pdq: a {self.fingerprint.type} can be forged")
        if _is_canary(self.fingerprint):
            raise ValueError(CANARY_NOT_ALLOWED)


def _is_canary(fingerprint: Fingerprint) -> bool:
    if fingerprint.type is FingerprintType.SHA256:
        return fingerprint.digest == CANARY_SHA256
    distance_bits = (int.from_bytes(fingerprint.digest) ^ int.from_bytes(CANARY_PDQ)).bit_count()
    return distance_bits <= DENY_RADIUS_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry(EntryDraft):
    """A stored entry. While it is suspended it matches nothing: a person decides whether it is right."""

    id: int
    added_at: datetime
    suspended_at: datetime | None = None

    def __post_init__(self) -> None:
        """Nothing is refused: what no draft may be today may have been stored before."""


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry as a decision needs it."""

    id: int
    kind: ListKind
    bank: str
    reason: str


@dataclass(frozen=True, slots=True)
class ListsHealth:
    """Whether a process has the lists as they are now.

    ``version`` is that of the lists which decisions ask, and ``age_s`` the seconds since they were last read.
    ``suspended`` entries match nothing until somebody confirms or removes them. ``problem`` says for people what is
    wrong, None if nothing is.
    """

    version: int = 0
    age_s: float = 0.0
    suspended: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that matched a picture.

    ``distance_bits`` is 0 for an exact match. ``frame`` and ``symmetry`` say which frame of the picture matched a PDQ,
    and in which of its turned and mirrored copies (an index of ``FrameFingerprint.hashes``).
    """

    entry: KnownEntry
    type: FingerprintType
    distance_bits: int = 0
    frame: int | None = None
    symmetry: int | None = None


@dataclass(frozen=True, slots=True)
class Matches:
    """Everything that the lists know of one picture.

    ``deciding`` decides in place of the policy. ``shadow`` has the nearest match of each shadow bank.
    """

    deciding: Match | None = None
    shadow: tuple[Match, ...] = ()
