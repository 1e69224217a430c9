"""The one use case: a body of bytes to a decision, under a deadline, over the domain's ports.

Whatever happens behind the ports, :meth:`Moderator.moderate` returns a decision in time. A port that raises, hangs or
dies makes the picture *unscanned*: the configuration decides about it, and the decision is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    Decision,
    Examination,
    Examiner,
    Judged,
    LabelScores,
    Lane,
    Ledger,
    LedgerHealth,
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
from serve_app.domain.lists import Match, Matches
from serve_app.lists import Snapshot
from serve_app.lists.live import LiveLists
from serve_app.logs import EventLogger
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.background_gate import BackgroundGate
from serve_app.moderation.known import NOTHING, KnownBytes, KnownPictures, listed
from serve_app.moderation.shadow import ShadowPolicy
from serve_app.moderation.sinks import RECALL_BUDGET_S, Sinks, told
from serve_app.moderation.time_limit import until
from serve_app.moderation.twins import Twins
from serve_app.policy import Policy, evaluate, labels_of
from serve_app.stages import Stage, timed

logger = EventLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Scanned:
    """An outcome and the examination behind it, whose model may differ from the latest known one.

    ``labels`` name the columns of the examination's scores: the policy's, and more where a shadow policy is on trial
    or the examination was recalled. ``known`` is what the lists say about it.
    """

    outcome: Judged
    examination: Examination
    labels: tuple[str, ...]
    known: Matches = NOTHING


class Moderator:
    """Decides on pictures. One instance serves many requests at once."""

    def __init__(  # noqa: PLR0913 - each is a part of its own
        self,
        policy: Policy,
        examiner: Examiner,
        ledger: Ledger,
        on_unscanned: OnUnscanned,
        admission: AdmissionControl,
        max_background_pictures: int = 1,
        sinks: Sequence[Sink] = (),
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        shadow: Policy | None = None,
        lists: LiveLists | None = None,
    ) -> None:
        """``sinks`` receive each decision, beside the ledger. ``shadow`` is a policy on trial, which decides nothing.

        The examiner scores the labels of both policies (:func:`serve_app.policy.labels_of`). Without ``lists``, the
        policy alone decides.
        """
        self.policy = policy
        self._labels = labels_of(policy, shadow)
        self._examiner = examiner
        self._ledger = ledger
        self._sinks = Sinks(ledger, sinks)
        self._shadow = ShadowPolicy(shadow) if shadow is not None else None
        self._on_unscanned = on_unscanned
        self._admission = admission
        self._background = BackgroundGate(max_background_pictures)
        self._twins: Twins[_Scanned] = Twins(_holds_in_each_lane)
        self._wall_clock = wall_clock
        self._known = KnownPictures(lists, wall_clock)
        self._last_heard_of: ModelIdentity | None = None

    @property
    def model(self) -> ModelIdentity:
        """The latest known model; before the first answer of a scorer, the policy's name for it and no digest."""
        return self._last_heard_of or ModelIdentity(" + ".join(self.policy.models), "", 0)

    async def ready(self, deadline: Deadline) -> ModelIdentity:
        """Wait until a model is warm, and check that the policy belongs to it.

        Raises:
            NotScannedError: no scorer answered within the deadline.
            PolicyError: the policy's thresholds belong to another model.
        """
        identity = await self._examiner.identify(deadline)
        self._hear_of(identity)
        return identity

    def _hear_of(self, identity: ModelIdentity) -> None:
        if identity != self._last_heard_of:
            self.policy.require_model(identity)
            self._last_heard_of = identity

    @property
    def ledger_health(self) -> LedgerHealth:
        """Whether decisions are being recorded."""
        return self._ledger.health()

    @property
    def lists_problem(self) -> str | None:
        """What is wrong with the lists; None if nothing is."""
        return self._known.problem

    @property
    def full_for_s(self) -> float:
        """Seconds for which the front end may refuse by itself, once :meth:`require_room` has refused."""
        return self._admission.full_for_s

    def count_arrival(self, is_authorised: bool, refused_before: int = 0) -> None:
        """See :meth:`serve_app.moderation.admission.AdmissionControl.count_arrival`."""
        self._admission.count_arrival(is_authorised, refused_before)

    def require_room(self) -> None:
        """Check for room before a body is read, since reading is the larger part of a refusal.

        Where ``on_unscanned`` is ``accept`` this does nothing: the decision needs the digest of the body.

        Raises:
            FullError: the service has no room.
        """
        if self._on_unscanned is OnUnscanned.REJECT:
            self._admission.require_room()

    def arriving(self) -> contextlib.AbstractContextManager[None]:
        """A body is being read, and takes room, until the block ends."""
        return self._admission.inside()

    async def moderate(self, body: Body, call: Call) -> Decision:
        """Scan ``body`` and decide within the call's deadline; record the decision before returning it."""
        started_s = call.deadline.clock()
        lists = self._known.snapshot()
        exact, known, seen = KnownBytes(), NOTHING, None
        result: Match | _Scanned | UnscannedError
        try:
            with timed(Stage.KNOWN, call):
                exact = await self._known.exact(lists, body, call)
            known = exact.matches
            result = known.deciding or await self._scan(body, call, lists)
        except DeadlineExceededError as error:
            result = error
        match result:
            case Match():
                outcome, kept = _listed(result)
            case _Scanned():
                seen = result
                known = Matches(seen.known.deciding, (*known.shadow, *seen.known.shadow))
                outcome, kept = _listed(known.deciding, seen.examination) if known.deciding else _judged(seen)
            case _:
                outcome, kept = Unscanned(result.reason, str(result)), self._keeps_unscanned(result)
        decision = Decision(
            request_id=call.request_id,
            decided_at=self._wall_clock(),
            sha256=body.sha256,
            body_bytes=len(body.content),
            outcome=outcome,
            kept=kept,
            model=seen.examination.scores.model if seen else self.model,
            policy=self.policy.name,
            policy_digest=self.policy.digest,
            elapsed_ms=(call.deadline.clock() - started_s) * 1e3,
            source=call.source,
            lane=call.lane,
            examination=seen.examination if seen else None,
            labels=seen.labels if seen else (),
            lists_version=lists.version if lists else 0,
            shadow_matches=tuple(map(listed, known.shadow)),
        )
        if self._shadow is not None:
            decision = self._shadow.beside(decision)
        with timed(Stage.RECORD, call):
            answered = await self._sinks.record(decision)
        self._known.decided(answered, known.deciding, exact.other_digests, seen.outcome if seen else None)
        return answered

    async def _scan(self, body: Body, call: Call, lists: Snapshot | None) -> _Scanned | UnscannedError:
        """What was seen of ``body``, judged and known of it, or why it was not scanned."""
        try:
            async with until(call.deadline, "scanning"):
                with timed(Stage.RECALL, call):
                    recalled = await self._recall(body.sha256, call.request_id)
                scanned = recalled or await self._twins.examine(
                    body.sha256, call.lane, call.deadline, lambda: self._examine_with_room(body, call)
                )
                # Twins share what was seen; each asks the lists of its own moment.
                with timed(Stage.NEAREST, call):
                    known = await self._known.nearest(lists, scanned.examination, call.request_id)
                return replace(scanned, known=known)
        except UnscannedError as error:
            return error
        except Exception:
            # A fault of ours is not the picture's.
            logger.exception("scanning_failed", "scanning failed", request_id=call.request_id)
            return UnavailableError("internal fault: see the log under this request_id")

    async def _recall(self, sha256: str, request_id: str) -> _Scanned | None:
        """The recorded examination of the same bytes by the same model, and its judgement.

        A judgement by the same policy is taken over; another policy judges the recorded scores, if they suffice for
        its prompts. A ledger that fails or hangs counts as a miss.
        """
        model = self._examiner.model
        if model is None:
            return None
        try:
            async with asyncio.timeout(RECALL_BUDGET_S):
                recalled = await self._ledger.recall(sha256, model.digest)
        except Exception as error:
            why = told(error, RECALL_BUDGET_S)
            text = f"the ledger failed to recall the same bytes: {why}"
            logger.error("recall_failed", text, request_id=request_id, why=why)
            return None
        if recalled is None:
            return None
        recorded = recalled.examination
        scores = recorded.scores.picked(recalled.labels, self.policy.labels)
        if scores is None:
            return None
        examination = replace(
            recorded,
            scores=replace(recorded.scores, model=model),
            preprocess_ms=0.0,
            score_ms=0.0,
            is_recalled=True,
        )
        # Recorded scores are rounded: only the judgement itself is the same one for certain.
        is_same_policy = recalled.policy_digest == self.policy.digest
        earlier = recalled.judged if is_same_policy else None
        return _Scanned(earlier or self._judge(examination, scores), examination, recalled.labels)

    async def _examine_with_room(self, body: Body, call: Call) -> _Scanned:
        """Examine ``body`` once there is room: a live picture has had its room since before its body was read."""
        async with until(call.deadline, "scanning"), contextlib.AsyncExitStack() as stack:
            if call.lane is Lane.BACKGROUND:
                await stack.enter_async_context(self._background.through())
            if call.lane is Lane.BACKGROUND or self._on_unscanned is OnUnscanned.ACCEPT:
                self._admission.require_room()
            stack.enter_context(self._admission.examining())
            if self._examiner.model is None or self._examiner.model != self._last_heard_of:
                await self.ready(call.deadline)
            examination = await self._examiner.examine(body, call)
            scores = examination.scores.picked(self._labels, self.policy.labels)
            with timed(Stage.JUDGE, call):
                judged = self._judge(examination, scores or examination.scores)
            return _Scanned(judged, examination, self._labels)

    def _judge(self, examination: Examination, scores: LabelScores) -> Judged:
        """The policy's judgement; the columns of ``scores`` are its labels."""
        self._hear_of(examination.scores.model)
        judgement = evaluate(self.policy, scores)
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


def _listed(match: Match, seen: Examination | None = None) -> tuple[Outcome, bool]:
    """The outcome, and whether the image server may store the picture."""
    outcome = listed(match, seen)
    return outcome, outcome.verdict.keeps_picture


def _judged(scanned: _Scanned) -> tuple[Outcome, bool]:
    """As :func:`_listed`."""
    return scanned.outcome, scanned.outcome.judgement.verdict.keeps_picture


def _holds_in_each_lane(outcome: _Scanned | UnscannableError) -> bool:
    """Whether callers in either lane may have this outcome: the lanes differ for files without their end."""
    if isinstance(outcome, UnscannableError):
        return not isinstance(outcome, TruncatedError)
    return not outcome.examination.is_truncated
