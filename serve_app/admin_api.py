"""The admin API, shared by the server and the commands of the client: paths, and the JSON shapes of what they carry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from serve_app.domain import Lane, UnscannedReason, Verdict
from serve_app.domain.canary import CANARY_BANK
from serve_app.domain.lists import FingerprintType, ListKind
from serve_app.domain.storable_text import require_storable
from serve_app.domain.workers import WorkerState
from serve_app.wire import DecidingView

ADMIN_PATH = "/api/v1/admin"
ADMIN_PORT = 14052
ADMIN_SECRETS_ENV = "PICTWARDEN_ADMIN_SECRETS"
"""The environment variable with the secrets of admins, as ``NAME:SECRET,NAME:SECRET``."""

MAX_BODY_BYTES = 1_000_000
"""Of a request, unless its route says otherwise."""

MOST_AT_ONCE = 1000
"""The longest page."""


class _Request(BaseModel):
    """What a client sends. Every text in it can be stored."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*")
    @classmethod
    def _require_storable(cls, value: Any) -> Any:
        return require_storable(value) if isinstance(value, str) else value


class Problem(BaseModel):
    """The body of every answer that is an error."""

    reason: str = Field(description="one word for programs")
    message: str = Field(description="the same for people, with the way out")


class ListMatchRecord(BaseModel):
    """How a picture was known."""

    bank: str
    entry: str
    match: str = Field(description="exact or perceptual")
    distance_bits: int | None = Field(description="of a perceptual match: the Hamming distance to the entry, 0 to 256")
    frame: int | None = Field(description="of a perceptual match: the frame that matched")


class ShadowRecord(BaseModel):
    """Another verdict, by the policy on trial."""

    verdict: Verdict
    rule: str | None
    margin: float | None
    policy: str
    policy_digest: str


class DecisionRecord(BaseModel):
    """One decision."""

    id: str = Field(description="the request_id of the answer")
    decided_at: datetime
    sha256: str
    body_bytes: int
    verdict: Verdict | None = Field(description="null when the picture was not scanned")
    reason: str = Field(description=f"policy, listed, or one of {', '.join(UnscannedReason)}")
    rule: str | None
    message: str
    kept: bool = Field(description="whether the image server was told to store the picture")
    pending: bool = Field(description="stored unscanned, and not yet scanned since")
    done_at: datetime | None = Field(description="of a decision that was pending: when it was dealt with")
    done_how: str | None
    source: str
    lane: Lane = Field(description="background: no image server asked, and none stores the picture on this answer")
    model: str
    model_digest: str
    notice: str | None = Field(default=None, description="what has to be known of the model's scores")
    policy: str
    policy_digest: str
    lists_version: int
    elapsed_ms: float
    worker: str | None = Field(
        default=None, description="the worker elsewhere that scored; null where the service itself did"
    )
    media_type: str | None = None
    scores: dict[str, float | None] | None = Field(
        default=None, description="concept scores of the deciding view; null where one is unknown"
    )
    margin: float | None = None
    view: DecidingView | None = None
    views_seen: int | None = None
    frames_seen: int | None = None
    frames_total: int | None = None
    truncated: bool | None = None
    listed: ListMatchRecord | None = None
    shadow: ShadowRecord | None = Field(default=None, description="set where the policy on trial has another verdict")
    shadow_matches: list[ListMatchRecord] = Field(default=[], description="of shadow banks, which decide nothing")


class Decisions(BaseModel):
    """A page of decisions, newest first."""

    decisions: list[DecisionRecord]
    cursor: str | None = Field(description="asks for the next page; null after the last")


class ScoringModel(BaseModel):
    """A model that scored."""

    name: str
    digest: str
    image_size_px: int
    derived_from: str | None = Field(description="of a converted model: the digest of the original")
    notice: str | None = Field(default=None, description="set where its scores would be trusted for too much")
    parts: list[ScoringModel] = Field(default=[], description="of models that scored together: each of them")


class ViewScores(BaseModel):
    """What a model saw in a body: its scores of each label, and no fingerprint."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    model: int = Field(description="its place in `models`")
    labels: int = Field(description="the place of the labels of its columns in `label_sets`")
    logit_scale: float
    values: bytes = Field(description="views times labels, row by row: float16, little-endian, in base64")
    places: list[tuple[int, float, float, float, float]] = Field(
        description="of each view: frame, left, top, right and bottom, in 0..1"
    )


class ScoredRecord(BaseModel):
    """A decision, and what was seen as far as that is still recorded."""

    id: str
    decided_at: datetime
    sha256: str
    source: str
    verdict: Verdict | None
    reason: str
    rule: str | None
    worker: str | None = Field(default=None, description="the worker elsewhere that scored")
    scores: ViewScores | None


class ScoredDecisions(BaseModel):
    """A page of decisions with their scores, newest first."""

    models: list[ScoringModel]
    label_sets: list[list[str]]
    decisions: list[ScoredRecord]
    cursor: str | None = Field(description="asks for the next page; null after the last")


class DecisionQuery(_Request):
    """Which decisions are wanted: all of the fields that are set must match."""

    since: AwareDatetime | None = Field(default=None, description="decided at this time or later")
    until: AwareDatetime | None = Field(default=None, description="decided before this time")
    source: str | None = None
    verdict: Verdict | None = None
    reason: UnscannedReason | Literal["policy", "listed"] | None = None
    rule: str | None = None
    pending: bool | None = None
    shadow_differs: bool | None = Field(
        default=None, description="whether the policy on trial would have given another verdict"
    )
    canary: bool = Field(default=False, description="decisions on the canary, which are left out otherwise")
    done_how: str | None = Field(default=None, description="how a pending one was dealt with")
    worker: str | None = Field(default=None, description="the worker elsewhere that scored")
    limit: int = Field(default=100, ge=1, le=MOST_AT_ONCE)
    cursor: str | None = Field(default=None, description="that of the page before")


class ForgetRequest(_Request):
    """Erase the decisions on one body, from one source, or before a moment."""

    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    source: str | None = Field(default=None, min_length=1)
    before: AwareDatetime | None = None

    @model_validator(mode="after")
    def _require_one(self) -> ForgetRequest:
        if sum(each is not None for each in (self.sha256, self.source, self.before)) != 1:
            raise ValueError("name one of sha256, source and before")
        return self


class ForgetAnswer(BaseModel):
    """How much is erased so far."""

    decisions: int
    label_scores: int
    fingerprints: int
    done: bool = Field(default=True, description="false while it goes on: ask again, with GET")


class AuditRecord(BaseModel):
    """One action, and the name of the secret that permitted it."""

    at: datetime
    actor: str
    action: str
    detail: dict[str, str | int]


class AuditTrail(BaseModel):
    """The latest actions, newest first."""

    entries: list[AuditRecord]


class LedgerStatus(BaseModel):
    """Whether decisions are being recorded."""

    problem: str | None = Field(description="what is wrong; null while decisions are recorded")
    spooled: int = Field(description="decisions that wait in a file until the database can be written again")
    dropped: int = Field(
        description="decisions that were recorded neither here nor there in time, since the start of this process"
    )


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


class BankRights(_Request):
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


class FingerprintRecord(_Request):
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


class EntryQuery(_Request):
    """Which entries are wanted: all of the fields that are set must match."""

    bank: BankName | None = None
    kind: ListKind | None = None
    suspended: bool | None = None
    after: int = Field(default=0, ge=0, description="that of the page before")
    limit: int = Field(default=100, ge=1, le=MOST_AT_ONCE)


class _ListingRequest(_Request):
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


class StoredPictureRecord(BaseModel):
    """A picture that pict-rs has stored."""

    sha256: str
    body_bytes: int
    aliases: list[str]


class BanAnswer(BaseModel):
    """What a ban has done, or would do."""

    picture: StoredPictureRecord
    types: list[FingerprintType] = Field(description="of the entries that are made, or would be")
    entries: list[EntryRecord] = Field(description="empty if only what would be done was asked for")
    notes: list[str]
    purged: list[str] = Field(description="the aliases that lead to it no more")
    over_quota: bool = Field(description="denied, and still stored: today's quota of purges is used up")


class UploadRecord(BaseModel):
    """An upload of a picture, as Lemmy lists it."""

    alias: str
    person: str = Field(description="for instance alice@lemmy.example")
    uploaded_at: datetime
    thumbnail_of: int | None = Field(
        description="the post whose thumbnail it is: Lemmy has fetched it, and `person` is the author of the post"
    )


class ShownRecord(BaseModel):
    """A post or a comment that shows a picture."""

    kind: Literal["post", "comment"]
    id: int
    url: str
    author: str


class UploadersAnswer(BaseModel):
    """Who brought the picture of a decision. Nothing of this is recorded."""

    aliases: list[str] = Field(description="that lead to the picture in pict-rs")
    uploads: list[UploadRecord]
    shown: list[ShownRecord] = Field(description="where it is shown")
    notes: list[str] = Field(description="what is not known, for people")


class PurgeRecord(BaseModel):
    """A picture that was purged, or was to be."""

    id: str
    begun_at: datetime
    actor: str = Field(description="whose secret permitted it, or who gave the command; `service`: rescans")
    why: str
    sha256: str
    body_bytes: int | None
    store: str | None = Field(default=None, description="where it was; null: in pict-rs")
    aliases: list[str] = Field(description="that led to the picture when it began, or the names of its files")
    ended_at: datetime | None = Field(description="null while it goes on, or if the program ended meanwhile")
    purged: list[str] = Field(description="the aliases that lead to it no more")
    problem: str | None = Field(description="why it failed")


class Purges(BaseModel):
    """Purges, newest first."""

    purges: list[PurgeRecord]


class WorkerRecord(BaseModel):
    """A worker elsewhere that is connected."""

    name: str = Field(description="OWNER/NAME, as in its decisions")
    owner: str = Field(description="the name of its secret")
    state: WorkerState = Field(description="pictures go to those that are trusted alone")
    device: str = Field(description="as it says itself, like its version and its models")
    version: str
    models: list[str] = Field(description="name and digest of each")
    since: datetime
    pictures: int = Field(description="scored since then")
    in_flight: int
    view_ms: float = Field(description="of its device, as measured")
    round_trip_ms: float


class Workers(BaseModel):
    """The workers that are connected, in the order in which they joined."""

    workers: list[WorkerRecord]
    absent_since: datetime | None = Field(description="set while none of them gets pictures")
    has_fallback: bool = Field(description="whether the service scans by itself then")


class ImportAnswer(BaseModel):
    """What an import did. A file with a wrong line is not imported at all: the problem names the lines."""

    bank: str
    changed: int = Field(description="entries that are new, or have another reason, source, quality or expiry")
    known: int = Field(description="entries that were there already")
    skipped: int = Field(description="lines that have nothing for these lists: empty ones, URLs, texts, ...")
