"""The one use case: a body of bytes to a decision, under a deadline, over three ports.

Whatever happens behind the ports, :meth:`Moderator.moderate` returns a decision in time: a port that raises, hangs or
dies makes the picture *unscanned*, which the configuration decides on and the ledger remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    Decision,
    Examination,
    Lane,
    Ledger,
    ModelIdentity,
    OnUnscanned,
    Preprocessor,
    Scorer,
    UnavailableError,
    UnscannableError,
    UnscannedError,
)
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.background import BackgroundGate
from serve_app.policy import Policy, evaluate

logger = logging.getLogger(__name__)


class Moderator:
    """Decides on pictures. One instance serves many requests at once."""

    def __init__(
        self,
        policy: Policy,
        preprocessor: Preprocessor,
        scorer: Scorer,
        ledger: Ledger,
        on_unscanned: OnUnscanned,
        admission: AdmissionControl,
        max_background_pictures: int = 1,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.policy = policy
        self._preprocessor = preprocessor
        self._scorer = scorer
        self._ledger = ledger
        self._on_unscanned = on_unscanned
        self._admission = admission
        self._background = BackgroundGate(max_background_pictures)
        self._wall_clock = wall_clock
        self._identity: ModelIdentity | None = None
        self._last_heard_of: ModelIdentity | None = None

    @property
    def model(self) -> ModelIdentity:
        """The model last heard of; until a scorer has answered, the policy's name for it and an empty digest."""
        return self._last_heard_of or ModelIdentity(self.policy.model, "", 0)

    async def ready(self, deadline: Deadline) -> ModelIdentity:
        """The identity of the model, when one is warm and the policy is meant for it.

        Raises:
            NotScannedError: no scorer has answered within the deadline.
            PolicyError: the model is not the one that the policy's thresholds belong to.
        """
        async with _until(deadline, "the scorer"):
            identity = await self._scorer.identify(deadline)
        self._hear_of(identity)
        return identity

    def _hear_of(self, identity: ModelIdentity) -> None:
        self.policy.require_model(identity)
        self._identity = self._last_heard_of = identity

    @property
    def full_for_s(self) -> float:
        """How long refusing goes on, once :meth:`require_room` has refused."""
        return self._admission.full_for_s

    def require_room(self, refused_before: int = 0) -> None:
        """Asked before a body is read: where there is no room for it, reading is the larger part of a refusal.

        Where ``on_unscanned`` is ``accept`` this does nothing: the bytes are needed to remember what was let through.

        Args:
            refused_before: pictures that were refused for us since the last call, and never came here.

        Raises:
            OverloadedError: it would be refused.
        """
        if self._on_unscanned is OnUnscanned.REJECT:
            self._admission.require_room(refused_before)

    async def moderate(self, body: bytes, request_id: str, deadline: Deadline, lane: Lane = Lane.LIVE) -> Decision:
        """Look at ``body`` and decide, within the deadline; the decision is recorded before this returns."""
        started_s = deadline.clock()
        sha256 = hashlib.sha256(body).hexdigest()
        outcome: Examination | UnscannedError
        # The model that looked, which need not be the one last heard of: other requests hear of models meanwhile.
        model: ModelIdentity | None = None
        try:
            async with _until(deadline, "looking"):
                outcome, model = await self._recall(sha256) or await self._examine_in(lane, body, deadline)
        except UnscannedError as error:
            outcome = error
        except Exception:
            # A fault of ours is not the picture's: it was not looked at, and the log says why.
            logger.exception("request %s: looking failed", request_id)
            outcome = UnavailableError("an internal fault; the log has it under this request_id")
        decision = Decision(
            request_id=request_id,
            decided_at=self._wall_clock(),
            sha256=sha256,
            body_bytes=len(body),
            outcome=outcome.reason if isinstance(outcome, UnscannedError) else outcome,
            detail=str(outcome) if isinstance(outcome, UnscannedError) else outcome.judgement.message,
            kept=self._may_keep(outcome),
            model=model or self.model,
            policy=self.policy.name,
            policy_digest=self.policy.digest,
            elapsed_ms=(deadline.clock() - started_s) * 1e3,
        )
        await self._ledger.record(decision)
        _log(decision)
        return decision

    async def _recall(self, sha256: str) -> tuple[Examination, ModelIdentity] | None:
        """What an earlier decision on the same bytes, by the same model and policy, was made on."""
        if self._identity is None:
            return None
        earlier = await self._ledger.find(sha256, self._identity.digest, self.policy.digest)
        if earlier is None or not isinstance(earlier.outcome, Examination) or earlier.outcome.is_truncated:
            # A part of a file that was scanned in one lane may be refused in the other.
            return None
        return earlier.outcome, earlier.model

    async def _examine_in(self, lane: Lane, body: bytes, deadline: Deadline) -> tuple[Examination, ModelIdentity]:
        if lane is Lane.LIVE:
            with self._admission.admit(len(body)):
                return await self._examine(body, deadline, lane)
        async with self._background.through():
            with self._admission.admit(len(body)):
                return await self._examine(body, deadline, lane)

    async def _examine(self, body: bytes, deadline: Deadline, lane: Lane) -> tuple[Examination, ModelIdentity]:
        identity = self._identity or await self.ready(deadline)
        views = await self._preprocessor.preprocess(body, identity.image_size_px, deadline, lane)
        try:
            scores = await self._scorer.score(views, deadline, lane)
        except UnavailableError:
            # The scorer that comes back may hold another model: ask again before the next picture.
            self._identity = None
            raise
        if scores.model != identity:
            self._hear_of(scores.model)
        judgement = evaluate(self.policy, scores)
        seen = Examination(
            judgement=judgement,
            place=views.places[judgement.view],
            media_type=views.media_type,
            views_seen=len(views.places),
            frames_seen=views.frames_seen,
            frames_total=views.frames_total,
            is_truncated=views.is_truncated,
        )
        return seen, scores.model

    def _may_keep(self, outcome: Examination | UnscannedError) -> bool:
        match outcome:
            case Examination():
                return outcome.judgement.verdict.keeps_picture
            case UnscannableError():
                return False
            case UnscannedError():
                return self._on_unscanned is OnUnscanned.ACCEPT


@contextlib.asynccontextmanager
async def _until(deadline: Deadline, stage: str) -> AsyncIterator[None]:
    """Ends what hangs: this holds even where a port does not keep the deadline itself."""
    try:
        async with asyncio.timeout(deadline.require(stage)):
            yield
    except TimeoutError as error:
        raise DeadlineExceededError(f"{stage} took longer than the time that was left") from error


def _log(decision: Decision) -> None:
    """One line a decision, without a trace of the picture; a demo model says so each time."""
    seen = decision.outcome if isinstance(decision.outcome, Examination) else None
    logger.info(
        "request %s: %s rule=%s margin=%s kept=%s bytes=%d type=%s views=%d ms=%.1f model=%s policy=%s%s%s",
        decision.request_id,
        seen.judgement.verdict if seen else f"unscanned ({decision.outcome})",
        seen.judgement.rule if seen else None,
        f"{seen.judgement.margin:+.3f}" if seen and seen.judgement.margin is not None else None,
        decision.kept,
        decision.body_bytes,
        seen.media_type if seen else None,
        seen.views_seen if seen else 0,
        decision.elapsed_ms,
        decision.model,
        decision.policy,
        " pending" if decision.is_pending else "",
        f" NOTICE: {decision.model.notice}" if decision.model.notice else "",
    )
