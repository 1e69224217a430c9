"""Decisions as rows of the database, and back."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from serve_app.database.moments import microseconds, moment_of
from serve_app.domain import (
    Decision,
    Examination,
    FrameFingerprint,
    Judged,
    Judgement,
    LabelScores,
    Lane,
    Listed,
    ListMatch,
    ModelIdentity,
    Outcome,
    RecordedDecision,
    ShadowJudgement,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.domain.canary import CANARY_BANK
from serve_app.domain.limits import MediaKey
from serve_app.ledger.encoding import (
    body_key,
    key_of,
    pack_fingerprints,
    pack_places,
    pack_values,
    unpack_places,
    unpack_values,
)

CANARY_EXPLANATION: Final = f'{{"bank":"{CANARY_BANK}",'
"""How the column ``explanation`` begins where the canary was refused."""

OUTCOME_COLUMNS: Final = (
    "reason", "verdict", "rule", "message", "explanation",
    "media_type", "views_seen", "frames_seen", "frames_total", "is_truncated",
)  # fmt: skip
"""Those of ``decisions`` that :func:`outcome_of` reads."""

Row = Mapping[Any, Any]
"""Values by the name of their column."""


@dataclass(frozen=True, slots=True)
class Context:
    """What many decisions have in common: the model, the policy, and the labels of the scores.

    ``model_key`` is of the model and of what it is shown (:attr:`serve_app.domain.limits.MediaLimits.media_key`).
    """

    model_key: int
    model: ModelIdentity
    policy: str
    policy_digest: str
    labels: tuple[str, ...]

    @classmethod
    def of(cls, decision: Decision, media_key: MediaKey) -> Context:
        """That of ``decision``."""
        model_key = model_key_of(decision.model.digest, media_key)
        return cls(model_key, decision.model, decision.policy, decision.policy_digest, decision.labels)

    def row(self) -> Row:
        """For the table ``contexts``."""
        model = self.model
        row = {
            "model_key": self.model_key,
            "model_name": model.name,
            "model_digest": model.digest,
            "model_image_size_px": model.image_size_px,
            "model_notice": model.notice,
            "model_derived_from": model.derived_from,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "labels": key_of(*self.labels) if self.labels else None,
        }
        return {"context": key_of(*row.values()), **row, "model_parts": _parts(model)}

    def label_set_row(self) -> Row | None:
        """For the table ``label_sets``."""
        if not self.labels:
            return None
        return {"labels": key_of(*self.labels), "texts": json.dumps(self.labels, ensure_ascii=False)}

    @classmethod
    def from_row(cls, row: Row) -> Context:
        """The context of a row of both tables, joined."""
        model = ModelIdentity(
            row["model_name"],
            row["model_digest"],
            row["model_image_size_px"],
            row["model_notice"],
            row["model_derived_from"],
            tuple(ModelIdentity(**each) for each in json.loads(row["model_parts"] or "[]")),
        )
        return cls(
            row["model_key"], model, row["policy"], row["policy_digest"], tuple(json.loads(row["texts"] or "[]"))
        )


@functools.lru_cache(maxsize=64)
def rows_of(context: Context) -> tuple[Row, Row | None]:
    """Its rows for ``contexts`` and ``label_sets``: nearly all decisions of a process have the same."""
    return context.row(), context.label_set_row()


def _parts(model: ModelIdentity) -> str | None:
    parts = [{key: value for key, value in asdict(each).items() if key != "parts"} for each in model.parts]
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False) if parts else None


def decision_row(decision: Decision, context: int) -> Row:
    """For the table ``decisions``."""
    outcome, seen = decision.outcome, decision.examination
    judged = outcome if isinstance(outcome, Judged) else None
    return {
        "request_id": decision.request_id,
        "decided_at_us": microseconds(decision.decided_at),
        "sha256": body_key(decision.sha256),
        "body_bytes": decision.body_bytes,
        "source": decision.source,
        "lane": decision.lane.value,
        "reason": decision.reason,
        "verdict": None if decision.verdict is None else decision.verdict.value,
        "rule": decision.rule,
        "message": _message(outcome),
        "explanation": _explanation(decision),
        "shadow_judgement": _shadow_judgement(decision.shadow_judgement),
        "kept": decision.kept,
        "is_pending": decision.is_pending,
        "elapsed_ms": decision.elapsed_ms,
        "preprocess_ms": seen.preprocess_ms if seen else None,
        "score_ms": seen.score_ms if seen else None,
        "worker": decision.worker,
        "context": context,
        "lists_version": decision.lists_version,
        "media_type": None if isinstance(outcome, Unscanned) else outcome.media_type,
        "views_seen": judged.views_seen if judged else None,
        "frames_seen": judged.frames_seen if judged else None,
        "frames_total": judged.frames_total if judged else None,
        "is_truncated": None if isinstance(outcome, Unscanned) else outcome.is_truncated,
    }


def model_key_of(digest: str, media_key: MediaKey) -> int:
    """The key of a model and of what it is shown, under which its examinations are recorded."""
    return key_of(digest, *media_key)


def label_scores_row(decision: Decision, seen: Examination, context: Row) -> Row:
    """For the table ``label_scores``; ``context`` is the row of ``contexts``."""
    return {
        "sha256": body_key(decision.sha256),
        "model_key": context["model_key"],
        "recorded_at_us": microseconds(decision.decided_at),
        "context": context["context"],
        "logit_scale": seen.scores.logit_scale,
        "cosines": pack_values(seen.scores.values),
        "places": pack_places(seen.places),
        "media_type": seen.media_type,
        "frames_seen": seen.frames_seen,
        "frames_total": seen.frames_total,
        "is_truncated": seen.is_truncated,
        "worker": seen.scores.worker,
    }


def fingerprints_row(decision: Decision, seen: Examination) -> Row | None:
    """For the table ``fingerprints``; None without any."""
    if not seen.fingerprints:
        return None
    return {"sha256": body_key(decision.sha256), "frames": pack_fingerprints(seen.fingerprints)}


def recorded_decision(
    row: Row,
    context: Context,
    seen: tuple[Examination, tuple[str, ...]] | None = None,
    fingerprints: tuple[FrameFingerprint, ...] = (),
) -> RecordedDecision:
    """The decision of a row of ``decisions``; ``seen`` has its examination, and the labels of its scores."""
    examination, labels = seen or (None, context.labels)
    decision = Decision(
        request_id=row["request_id"],
        decided_at=moment_of(row["decided_at_us"]),
        sha256=row["sha256"].hex(),
        body_bytes=row["body_bytes"],
        outcome=outcome_of(row),
        kept=row["kept"],
        model=context.model,
        policy=context.policy,
        policy_digest=context.policy_digest,
        elapsed_ms=row["elapsed_ms"],
        source=row["source"],
        lane=Lane(row["lane"] or Lane.LIVE),
        examination=examination,
        labels=labels,
        lists_version=row["lists_version"],
        shadow_matches=_shadow_matches_of(row),
        shadow_judgement=_shadow_judgement_of(row),
        worker=row["worker"],
    )
    done_at = None if row["done_at_us"] is None else moment_of(row["done_at_us"])
    is_reopened = row["is_pending"] and not decision.is_pending
    return RecordedDecision(decision, done_at, row["done_how"], is_reopened, fingerprints)


def outcome_of(row: Row) -> Outcome:
    """The outcome of a row of ``decisions``, of which :data:`OUTCOME_COLUMNS` suffice."""
    explained = json.loads(row["explanation"] or "{}")
    match row["reason"]:
        case "policy":
            frame, *box = explained["place"]
            judgement = Judgement(
                verdict=Verdict(row["verdict"]),
                rule=row["rule"],
                message=row["message"],
                view=explained["view"],
                scores=explained["scores"],
                margin=explained["margin"],
            )
            return Judged(
                judgement=judgement,
                place=ViewPlace(frame, (box[0], box[1], box[2], box[3])),
                media_type=row["media_type"],
                views_seen=row["views_seen"],
                frames_seen=row["frames_seen"],
                frames_total=row["frames_total"],
                is_truncated=row["is_truncated"],
            )
        case "listed":
            return _listed_of(row, explained)
        case reason:
            return Unscanned(UnscannedReason(reason), row["message"])


def examination_of(row: Row, context: Context, fingerprints: tuple[FrameFingerprint, ...]) -> Examination:
    """The examination of a row of ``label_scores``."""
    places = unpack_places(row["places"])
    values = unpack_values(row["cosines"], len(places))
    return Examination(
        scores=LabelScores(values, row["logit_scale"], context.model, row["worker"]),
        places=places,
        media_type=row["media_type"],
        frames_seen=row["frames_seen"],
        frames_total=row["frames_total"],
        is_truncated=row["is_truncated"],
        fingerprints=fingerprints,
    )


def _message(outcome: Outcome) -> str:
    match outcome:
        case Judged(judgement=judgement):
            return judgement.message
        case Listed(message=message):
            return message
        case Unscanned(detail=detail):
            return detail


def _explanation(decision: Decision) -> str | None:
    outcome = decision.outcome
    explained: dict[str, Any] = {}
    match outcome:
        case Judged(judgement=judgement, place=place):
            explained = {
                "view": judgement.view,
                "scores": dict(judgement.scores),
                "margin": judgement.margin,
                "place": [place.frame, *place.box],
            }
        case Listed():
            explained = _listed(outcome)
        case Unscanned():
            pass
    if decision.shadow_matches:
        explained["shadow"] = [
            {"verdict": each.verdict.value, "message": each.message, **_listed(each)}
            for each in decision.shadow_matches
        ]
    return _json(explained) if explained else None


def _shadow_judgement(judgement: ShadowJudgement | None) -> str | None:
    return None if judgement is None else _json({**asdict(judgement), "verdict": judgement.verdict.value})


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _listed(outcome: Listed) -> dict[str, Any]:
    return {
        "bank": outcome.bank,
        "entry": outcome.entry,
        "match": outcome.match.value,
        "distance_bits": outcome.distance_bits,
        "frame": outcome.frame,
    }


def _listed_of(row: Row, explained: Row) -> Listed:
    """``row`` has the verdict and the message."""
    return Listed(
        verdict=Verdict(row["verdict"]),
        bank=explained["bank"],
        entry=explained["entry"],
        message=row["message"],
        match=ListMatch(explained["match"]),
        distance_bits=explained["distance_bits"],
        frame=explained["frame"],
        media_type=row.get("media_type"),
        is_truncated=row.get("is_truncated"),
    )


def _shadow_matches_of(row: Row) -> tuple[Listed, ...]:
    shadow = json.loads(row["explanation"] or "{}").get("shadow", ())
    return tuple(_listed_of(each, each) for each in shadow)


def _shadow_judgement_of(row: Row) -> ShadowJudgement | None:
    if row["shadow_judgement"] is None:
        return None
    fields = json.loads(row["shadow_judgement"])
    return ShadowJudgement(**{**fields, "verdict": Verdict(fields["verdict"])})
