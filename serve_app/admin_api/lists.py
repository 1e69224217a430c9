"""Bodies about lists: banks, entries, and what is put on them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from serve_app.admin_api.basics import MOST_AT_ONCE, Request
from serve_app.domain.canary import CANARY_BANK
from serve_app.domain.lists import FingerprintType, ListKind

BankName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


def _not_built_in(bank: str) -> str:
    if bank == CANARY_BANK:
        raise ValueError(f"the bank {CANARY_BANK} is built in: name another")
    return bank


OwnBankName = Annotated[BankName, AfterValidator(_not_built_in)]
"""Of a bank that is made or added to."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

ALLOWED_BANK, DENIED_BANK, BANNED_BANK = "allowed", "denied", "banned"
"""The banks of entries that admins make one by one, unless they name another."""


class BankRights(Request):
    """What a bank may do. A bank that is not exportable stays so."""

    shadow: bool = Field(default=False, description="its entries match and are recorded, and decide nothing")
    exportable: bool = Field(default=True, description="false for a list under contract: its hashes never leave")


class BankRecord(BankRights):
    """A bank, and how many entries it has."""

    model_config = ConfigDict(extra="ignore")

    name: str
    entries: int


class Banks(BaseModel):
    """All banks, by their names."""

    banks: list[BankRecord]
    version: int = Field(description="of the lists; it grows with each change")


class FingerprintRecord(Request):
    """A hash, as people give it."""

    type: FingerprintType
    hash: str = Field(pattern="^[0-9a-fA-F]+$", max_length=64)
    quality: int | None = Field(default=None, ge=0, le=100, description="of a PDQ")


class EntryRecord(BaseModel):
    """One entry of a list."""

    id: int
    kind: ListKind
    type: FingerprintType
    hash: str | None = Field(description="null where the bank is not exportable")
    quality: int | None
    bank: str
    reason: str
    source: str
    author: str
    added_at: datetime
    expires_at: datetime | None
    suspended_at: datetime | None = Field(description="since when the flood guard has it match nothing")
    confirmed: bool = Field(description="a person confirmed it, or banned its picture: it is never suspended")


class Entries(BaseModel):
    """A page of entries, oldest first."""

    entries: list[EntryRecord]
    after: int | None = Field(description="asks for the next page; null after the last")


class EntryQuery(Request):
    """Which entries are wanted: all of the fields that are set must match."""

    bank: BankName | None = None
    kind: ListKind | None = None
    suspended: bool | None = None
    after: int = Field(default=0, ge=0, description="that of the page before")
    limit: int = Field(default=100, ge=1, le=MOST_AT_ONCE)


class _ListingRequest(Request):
    reason: Reason
    expires_at: AwareDatetime | None = None


class DecisionListing(_ListingRequest):
    """Put the picture of a decision on a list."""

    bank: OwnBankName | None = Field(default=None, description=f"by default {ALLOWED_BANK} or {DENIED_BANK}")


class FingerprintListing(DecisionListing):
    """Put fingerprints on a list."""

    kind: ListKind
    fingerprints: list[FingerprintRecord] = Field(min_length=1, max_length=MOST_AT_ONCE)
    source: Text = ""


class PictureListing(DecisionListing):
    """Put a picture that pict-rs has stored on a list."""

    kind: ListKind
    reference: str = Field(max_length=4096, description="its alias, or the URL under which it is shown")


class BanRequest(_ListingRequest):
    """Deny a picture that pict-rs has stored, and purge it."""

    reference: str = Field(max_length=4096, description="its alias, or the URL under which it is shown")
    bank: OwnBankName = BANNED_BANK
    purge: bool = Field(default=False, description="false: only say what would be done")


class ListingAnswer(BaseModel):
    """What was put on a list."""

    entries: list[EntryRecord]
    notes: list[str] = Field(description="what the entries do not cover, for people")
    pending: list[str] = Field(default=[], description="decisions on the same bytes whose picture is still unscanned")


class ImportAnswer(BaseModel):
    """What an import did. A file with a wrong line is not imported at all: the problem names the lines."""

    bank: str
    changed: int = Field(description="entries that are new, or have another reason, source, quality or expiry")
    known: int = Field(description="entries that were there already")
    skipped: int = Field(description="lines that have nothing for these lists: empty ones, URLs, texts, ...")
