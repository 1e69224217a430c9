"""The one use case: a body of bytes to a decision, under a deadline, over the domain's ports.

Whatever happens behind the ports, :meth:`Moderator.moderate` returns a decision in time: a port that raises, hangs or
dies makes the picture *unscanned*, which the configuration decides on and the ledger remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from serve_app.answer_log import AnswerLogger
from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Decision,
    Examination,
    Examiner,
    Judged,
    Lane,
    Ledger,
    ModelIdentity,
    OnUnscanned,
    Outcome,
    Sink,
    StalledError,
    TruncatedError,
    UnavailableError,
    UnscannableError,
    Unscanned,
    UnscannedError,
)
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.background import BackgroundGate
from serve_app.moderation.sinks import SINK_BUDGET_S, Sinks, told
from serve_app.moderation.time_limit import until
from serve_app.moderation.twins import Twins
from serve_app.policy import Policy, evaluate

logger = AnswerLogger(__name__)

_Scanned = tuple[Judged, ModelIdentity]
"""An outcome and the model that scored it, which need not be the one last heard of."""


class Moderator:
    """Decides on pictures. One instance serves many requests at once."""

    def __init__(
        self,
        policy: Policy,
        examiner: Examiner,
        ledger: Ledger,
        on_unscanned: OnUnscanned,
        admission: AdmissionControl,
        max_background_pictures: int = 1,
        sinks: Sequence[Sink] = (),
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``sinks`` are told of each decision beside the ledger."""
        self.policy = policy
        self._examiner = examiner
        self._ledger = ledger
        self._sinks = Sinks([ledger, *sinks])
        self._on_unscanned = on_unscanned
        self._admission = admission
        self._background = BackgroundGate(max_background_pictures)
        self._twins: Twins[_Scanned] = Twins(_holds_in_each_lane)
        self._wall_clock = wall_clock
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
        identity = await self._examiner.identify(deadline)
        self._hear_of(identity)
        return identity

    def _hear_of(self, identity: ModelIdentity) -> None:
        if identity != self._last_heard_of:
            self.policy.require_model(identity)
            self._last_heard_of = identity

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
            FullError: it would be refused.
        """
        if self._on_unscanned is OnUnscanned.REJECT:
            self._admission.require_room()

    def arriving(self) -> contextlib.AbstractContextManager[None]:
        """A body is being read, and takes room, for as long as the block."""
        return self._admission.inside()

    async def moderate(self, body: Body, call: Call) -> Decision:
        """Scan ``body`` and decide, within the call's deadline; the decision is recorded before this returns."""
        started_s = call.deadline.clock()
        outcome, model, kept = await self._outcome(body, call)
        decision = Decision(
            request_id=call.request_id,
            decided_at=self._wall_clock(),
            sha256=body.sha256,
            body_bytes=len(body.content),
            outcome=outcome,
            kept=kept,
            model=model,
            policy=self.policy.name,
            policy_digest=self.policy.digest,
            elapsed_ms=(call.deadline.clock() - started_s) * 1e3,
            source=call.source,
        )
        await self._sinks.record(decision)
        return decision

    async def _outcome(self, body: Body, call: Call) -> tuple[Outcome, ModelIdentity, bool]:
        """What is to be said of ``body``, by which model, and whether the image server may keep it."""
        try:
            async with until(call.deadline, "scanning"):
                judged, model = await self._recall(body.sha256) or await self._twins.examine(
                    body.sha256, call.lane, call.deadline, lambda: self._examine_with_room(body, call)
                )
        except UnscannedError as error:
            unscanned = error
        except Exception:
            # A fault of ours is not the picture's: it was not scanned, and the log says why.
            logger.exception("request %s: scanning failed", call.request_id)
            unscanned = UnavailableError("an internal fault; the log has it under this request_id")
        else:
            return judged, model, judged.judgement.verdict.keeps_picture
        return Unscanned(unscanned.reason, str(unscanned)), self.model, self._keeps_unscanned(unscanned)

    async def _recall(self, sha256: str) -> _Scanned | None:
        """What an earlier decision on the same bytes, by the same model and policy, was made on.

        A ledger that fails or hangs is a miss.
        """
        model = self._examiner.model
        if model is None:
            return None
        try:
            async with asyncio.timeout(SINK_BUDGET_S):
                earlier = await self._ledger.find(sha256, model.digest, self.policy.digest)
        except Exception as error:
            logger.error("the ledger was asked for an earlier decision and failed: %s", told(error))
            return None
        if earlier is None or not isinstance(earlier.outcome, Judged) or earlier.outcome.is_truncated:
            # A part of a file that was scanned in one lane may be refused in the other.
            return None
        return earlier.outcome, earlier.model

    async def _examine_with_room(self, body: Body, call: Call) -> _Scanned:
        """Examine it when it has room: what is live had to have some before its body was read."""
        async with until(call.deadline, "scanning"), contextlib.AsyncExitStack() as stack:
            if call.lane is Lane.BACKGROUND:
                await stack.enter_async_context(self._background.through())
            if call.lane is Lane.BACKGROUND or self._on_unscanned is OnUnscanned.ACCEPT:
                self._admission.require_room()
            stack.enter_context(self._admission.examining())
            if self._examiner.model is None:
                await self.ready(call.deadline)
            examination = await self._examiner.examine(body, call)
            return self._judge(examination), examination.scores.model

    def _judge(self, examination: Examination) -> Judged:
        self._hear_of(examination.scores.model)
        judgement = evaluate(self.policy, examination.scores)
        return Judged(
            judgement=judgement,
            place=examination.places[judgement.view],
            media_type=examination.media_type,
            views_seen=len(examination.places),
            frames_seen=examination.frames_seen,
            frames_total=examination.frames_total,
            is_truncated=examination.is_truncated,
        )

    def _keeps_unscanned(self, error: UnscannedError) -> bool:
        if isinstance(error, UnscannableError | StalledError):
            return False
        return self._on_unscanned is OnUnscanned.ACCEPT


def _holds_in_each_lane(outcome: _Scanned | UnscannableError) -> bool:
    """A file without its end is the one thing that the lanes treat differently."""
    if isinstance(outcome, UnscannableError):
        return not isinstance(outcome, TruncatedError)
    judged, _ = outcome
    return not judged.is_truncated
