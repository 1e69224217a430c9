"""Bodies about decisions, the scores behind them, who looked, and the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from serve_app.admin_api.basics import MOST_AT_ONCE, Request
from serve_app.domain import Lane, UnscannedReason, Verdict
from serve_app.wire import DecidingView


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


class DecisionQuery(Request):
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


class ForgetRequest(Request):
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
