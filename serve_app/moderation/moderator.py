"""The one use case: a body of bytes to a decision, under a deadline, over three ports.

Whatever happens behind the ports, :meth:`Moderator.moderate` returns a decision in time: a port that raises, hangs or
dies makes the picture *unscanned*, which the configuration decides on and the ledger remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from serve_app.answer_log import AnswerLogger
from serve_app.domain import (
    Body,
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
    StalledError,
    TruncatedError,
    UnavailableError,
    UnscannableError,
    UnscannedError,
)
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.background import BackgroundGate
from serve_app.moderation.recording import Recorder
from serve_app.moderation.shared_call import AbandonedError, SharedCall
from serve_app.moderation.twins import Twins
from serve_app.policy import Policy, evaluate

logger = AnswerLogger(__name__)

_Examined = tuple[Examination, ModelIdentity]
"""An examination and the model that scored it, which need not be the one last heard of."""


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
        self._recorder = Recorder(ledger)
        self._on_unscanned = on_unscanned
        self._admission = admission
        self._background = BackgroundGate(max_background_pictures)
        self._twins: Twins[_Examined] = Twins(_holds_in_each_lane)
        self._wall_clock = wall_clock
        self._identity: ModelIdentity | None = None
        self._last_heard_of: ModelIdentity | None = None
        self._identifying: SharedCall[ModelIdentity] | None = None

    @property
    def model(self) -> ModelIdentity:
        """The model last heard of; until a scorer has answered, the policy's name for it and an empty digest."""
        return self._last_heard_of or ModelIdentity(self.policy.model, "", 0)

    async def ready(self, deadline: Deadline) -> ModelIdentity:
        """The identity of the model, when one is warm and the policy is meant for it.

        Callers that ask at the same time share one question to the scorer.

        Raises:
            NotScannedError: no scorer has answered within the deadline.
            PolicyError: the model is not the one that the policy's thresholds belong to.
        """
        async with _until(deadline, "the scorer"):
            while True:
                asked = self._identifying
                is_own = asked is None or not asked.is_running
                if asked is None or is_own:
                    asked = self._identifying = SharedCall(self._scorer.identify(deadline))
                try:
                    identity = await asked.result()
                except AbandonedError:
                    continue
                except DeadlineExceededError:
                    if is_own:
                        raise
                    continue  # the deadline was the one of the caller that asked
                self._hear_of(identity)
                return identity

    def _hear_of(self, identity: ModelIdentity) -> None:
        self.policy.require_model(identity)
        self._identity = self._last_heard_of = identity

    @property
    def full_for_s(self) -> float:
        """How long refusing goes on, once :meth:`require_room` has refused."""
        return self._admission.full_for_s

    def count_arrival(self, is_authorised: bool, refused_before: int = 0) -> None:
        """See :meth:`serve_app.moderation.admission.AdmissionControl.count_arrival`."""
        self._admission.count_arrival(is_authorised, refused_before)

    def require_room(self) -> None:
        """Asked before a body is read: where there is no room for it, reading is the larger part of a refusal.

        Where ``on_unscanned`` is ``accept`` this does nothing: the digest is needed to remember what was let through.

        Raises:
            OverloadedError: it would be refused.
        """
        if self._on_unscanned is OnUnscanned.REJECT:
            self._admission.require_room()

    def arriving(self) -> contextlib.AbstractContextManager[None]:
        """A body is being read, and takes room, for as long as the block."""
        return self._admission.inside()

    async def moderate(self, body: Body, request_id: str, deadline: Deadline, lane: Lane = Lane.LIVE) -> Decision:
        """Scan ``body`` and decide, within the deadline; the decision is recorded before this returns."""
        started_s = deadline.clock()
        outcome: Examination | UnscannedError
        model: ModelIdentity | None = None
        try:
            async with _until(deadline, "scanning"):
                outcome, model = await self._recall(body.sha256) or await self._twins.examine(
                    body.sha256, lane, deadline, lambda: self._examine_in(lane, body.content, deadline)
                )
        except UnscannedError as error:
            outcome = error
        except Exception:
            # A fault of ours is not the picture's: it was not scanned, and the log says why.
            logger.exception("request %s: scanning failed", request_id)
            outcome = UnavailableError("an internal fault; the log has it under this request_id")
        decision = Decision(
            request_id=request_id,
            decided_at=self._wall_clock(),
            sha256=body.sha256,
            body_bytes=len(body.content),
            outcome=outcome.reason if isinstance(outcome, UnscannedError) else outcome,
            detail=str(outcome) if isinstance(outcome, UnscannedError) else outcome.judgement.message,
            kept=self._may_keep(outcome),
            model=model or self.model,
            policy=self.policy.name,
            policy_digest=self.policy.digest,
            elapsed_ms=(deadline.clock() - started_s) * 1e3,
        )
        await self._recorder.record(decision)
        return decision

    async def _recall(self, sha256: str) -> _Examined | None:
        """What an earlier decision on the same bytes, by the same model and policy, was made on."""
        if self._identity is None:
            return None
        earlier = await self._recorder.recall(sha256, self._identity, self.policy.digest)
        if earlier is None or not isinstance(earlier.outcome, Examination) or earlier.outcome.is_truncated:
            # A part of a file that was scanned in one lane may be refused in the other.
            return None
        return earlier.outcome, earlier.model

    async def _examine_in(self, lane: Lane, body: bytes, deadline: Deadline) -> _Examined:
        """Examine it when it has room: what is live had to have some before its body was read."""
        async with _until(deadline, "scanning"), contextlib.AsyncExitStack() as stack:
            if lane is Lane.BACKGROUND:
                await stack.enter_async_context(self._background.through())
            if lane is Lane.BACKGROUND or self._on_unscanned is OnUnscanned.ACCEPT:
                self._admission.require_room()
            stack.enter_context(self._admission.examining())
            return await self._examine(body, deadline, lane)

    async def _examine(self, body: bytes, deadline: Deadline, lane: Lane) -> _Examined:
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
            case UnscannableError() | StalledError():
                return False
            case UnscannedError():
                return self._on_unscanned is OnUnscanned.ACCEPT


@contextlib.asynccontextmanager
async def _until(deadline: Deadline, stage: str) -> AsyncIterator[None]:
    """Ends what hangs: this holds even where a port does not keep the deadline itself."""
    try:
        async with asyncio.timeout(deadline.require(stage)) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise  # some other time-out, which says nothing of our deadline
        raise DeadlineExceededError(f"{stage} took longer than the time that was left") from error


def _holds_in_each_lane(outcome: _Examined | UnscannableError) -> bool:
    """A file without its end is the one thing that the lanes treat differently."""
    if isinstance(outcome, UnscannableError):
        return not isinstance(outcome, TruncatedError)
    examination, _ = outcome
    return not examination.is_truncated
