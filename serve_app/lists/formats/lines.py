"""What every format shares: numbered lines, the terms of an import, and what a line became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.domain.storable_text import require_storable

MAX_REASON_CHARACTERS = 500
"""Of a reason, a source or an author."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, without its end. ``number`` counts from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is wrong. Its text is not repeated: it may be a fingerprint under contract."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """A line that is right, and has nothing for these lists."""

    number: int


@dataclass(frozen=True, slots=True)
class ImportTerms:
    """What the person who imports a file says about all of it.

    ``kind`` is None if the file says it; where both do, they must agree, so that nobody's file allows pictures by
    surprise. ``reason``, ``source`` and ``expires_at`` hold where the file says nothing. ``type`` is needed for plain
    hashes of 64 digits, which are a sha256 or a pdq.
    """

    bank: str
    author: str
    kind: ListKind | None = None
    reason: str = ""
    source: str = ""
    expires_at: datetime | None = None
    type: FingerprintType | None = None


def draft_of(record: Mapping[str, str], terms: ImportTerms) -> EntryDraft:
    """The entry of a record with the keys ``type``, ``hash`` and, if it likes, :data:`OPTIONAL_KEYS`.

    Raises:
        ValueError: with a message for people, which repeats nothing of the record.
    """
    if record.keys() - REQUIRED_KEYS - OPTIONAL_KEYS:
        raise ValueError(f"unknown key; known: {', '.join(sorted(REQUIRED_KEYS | OPTIONAL_KEYS))}")
    fingerprint = fingerprint_of(record.get("type", ""), record.get("hash", ""), record.get("quality", ""))
    fingerprint.require_match()
    return EntryDraft(
        kind=_kind(record.get("kind", ""), terms.kind),
        fingerprint=fingerprint,
        bank=terms.bank,
        reason=_text("reason", record.get("reason", "") or terms.reason),
        source=_text("source", record.get("source", "") or terms.source),
        author=terms.author,
        expires_at=_moment(record.get("expires_at", "")) or terms.expires_at,
    )


REQUIRED_KEYS = frozenset({"type", "hash"})
OPTIONAL_KEYS = frozenset({"quality", "kind", "bank", "reason", "source", "author", "added_at", "expires_at"})
"""``bank``, ``author`` and ``added_at`` are of the instance that wrote the file, and are not imported."""


def fingerprint_of(type_: str, digits: str, quality: str = "") -> Fingerprint:
    """A fingerprint from its words.

    Raises:
        ValueError: with a message for people, which repeats none of them: they may be in the wrong order.
    """
    if type_ not in set(FingerprintType):
        raise ValueError(f"unknown type; known: {', '.join(FingerprintType)}")
    known = FingerprintType(type_)
    wanted = known.digest_bytes * 2
    if len(digits) != wanted or not set(digits) <= _HEX_DIGITS:
        raise ValueError(f"a {known} has {wanted} hexadecimal digits")
    if quality and not (quality.isascii() and quality.isdecimal()):
        raise ValueError("the quality is a number from 0 to 100")
    return Fingerprint(known, bytes.fromhex(digits), int(quality) if quality else None)


_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def _kind(said: str, wanted: ListKind | None) -> ListKind:
    if not said:
        if wanted is None:
            raise ValueError("the line does not say `allow` or `deny`: say which for all lines")
        return wanted
    if said not in set(ListKind):
        raise ValueError("kind is `allow` or `deny`")
    if wanted is not None and said != wanted:
        raise ValueError(f"the line says {said}, and the import {wanted}")
    return ListKind(said)


def _text(name: str, text: str) -> str:
    if len(text) > MAX_REASON_CHARACTERS:
        raise ValueError(f"the {name} has {len(text)} characters; the limit is {MAX_REASON_CHARACTERS}")
    return require_storable(text)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expires_at is no time as in 2027-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, as in 2027-01-31T12:00:00Z")
    return moment
