"""The one use case: a body of bytes to a decision, under a deadline, over the domain's ports.

Whatever happens behind the ports, :meth:`Moderator.moderate` returns a decision in time. A port that raises, hangs or
dies makes the picture *unscanned*: the configuration decides about it, and the decision is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
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
    Lane,
    Ledger,
    LedgerHealth,
    ModelIdentity,
    NotScannedError,
    OnUnscanned,
    Outcome,
    Recollection,
    Sink,
    TruncatedError,
    UnavailableError,
    UnscannableError,
    Unscanned,
    UnscannedError,
)
from serve_app.domain.lists import ListsHealth, Match, Matches
from serve_app.lists import Snapshot
from serve_app.lists.live import LiveLists
from serve_app.logs import EventLogger
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.background_gate import BackgroundGate
from serve_app.moderation.columns import with_recalled_columns
from serve_app.moderation.known import NOTHING, KnownBytes, KnownPictures, listed
from serve_app.moderation.quotas import Quotas
from serve_app.moderation.sinks import ANSWERING, Budgets, Sinks, told
from serve_app.moderation.terms import Terms
from serve_app.moderation.time_limit import until
from serve_app.moderation.twins import Twins
from serve_app.policy import Policies, Policy
from serve_app.stages import Stage, timed

logger = EventLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Scanned:
    """An outcome and the examination behind it, whose model may differ from the latest known one.

    ``labels`` name the columns of the examination's scores: the policy's, and more where a shadow policy is on trial,
    the examination was recalled, or another source has other labels. ``known`` is what the lists say about it.
    ``terms`` are those that it was judged by; ``unavailable`` is why others stand in for them, if they do.
    """

    outcome: Judged
    examination: Examination
    labels: tuple[str, ...]
    terms: Terms
    known: Matches = NOTHING
    unavailable: UnavailableError | None = None

    @property
    def let_through_for_now(self) -> Unscanned | None:
        """The outcome of a picture that others than its own terms let through: it is still to be scanned."""
        if self.unavailable is None or self.terms.suffices or not self.outcome.judgement.verdict.keeps_picture:
            return None
        judgement = self.outcome.judgement
        how = "let it through" if judgement.rule is None else f"let it through ({judgement.verdict}: {judgement.rule})"
        detail = f"{self.unavailable}: the fallback {self.terms.policy.name} {how}, and it is scanned later"
        return Unscanned(self.unavailable.reason, detail)


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
        of_sources: Mapping[str, Terms] | None = None,
        quotas: Quotas | None = None,
        count: Callable[[Decision], None] | None = None,
        budgets: Budgets = ANSWERING,
        stand_in: Terms | None = None,
    ) -> None:
        """``sinks`` receive each decision, beside the ledger, and ``count`` is told of it.

        ``shadow`` is a policy on trial, which decides nothing. The examiner scores the labels of both policies
        (:func:`serve_app.policy.labels_of`). Without ``lists``, the policy alone decides. ``of_sources`` are the terms
        of sources that have their own, by name. ``budgets`` are those of the ledger and the sinks. ``stand_in`` as in
        :class:`Terms`.
        """
        self.policy = policy
        self._service = Terms(policy, examiner, on_unscanned, shadow=shadow, stand_in=stand_in)
        self._of_sources = dict(of_sources or {})
        self._labels = {label for terms in (self._service, *self._of_sources.values()) for label in terms.labels}
        self._ledger = ledger
        self._budgets = budgets
        self._sinks = Sinks(ledger, sinks, count, budgets.sink_s)
        self._admission = admission
        self._quotas = quotas or Quotas({})
        self._background = BackgroundGate(max_background_pictures)
        self._twins: Twins[Examination] = Twins(_holds_in_each_lane)
        self._wall_clock = wall_clock
        self._known = KnownPictures(lists, wall_clock)

    @property
    def model(self) -> ModelIdentity:
        """The latest known model of the service's policy; before the first answer of a scorer it has no digest."""
        return self._service.model

    @property
    def policies(self) -> Policies:
        """The policies that decide, and of which source."""
        own = {name: terms.policy for name, terms in self._of_sources.items()}
        differing = {name: policy for name, policy in own.items() if policy is not self.policy}
        return Policies(self.policy, differing)

    async def ready(self, deadline: Deadline) -> ModelIdentity:
        """Wait until the models are warm, and check that each policy belongs to its own: that of the service's.

        Raises:
            NotScannedError: no scorer answered within the deadline.
            PolicyError: the thresholds of a policy belong to another model.
        """
        every = (self._service, *self._of_sources.values())
        # Sources share examiners, and each is asked once.
        examiners = {id(terms.examiner): terms.examiner for terms in every}
        told = await asyncio.gather(*(examiner.identify(deadline) for examiner in examiners.values()))
        identities = dict(zip(examiners, told, strict=True))
        for terms in every:
            terms.hear_of(identities[id(terms.examiner)])
        return identities[id(self._service.examiner)]

    async def standing_in(self, deadline: Deadline) -> tuple[Policy, ModelIdentity] | None:
        """The policy that looks at uploads while the models are unavailable, with its model; None if none does."""
        terms = self._service.stand_in
        while terms is not None:
            try:
                return terms.policy, await terms.ready(deadline)
            except NotScannedError:
                terms = terms.stand_in
        return None

    def _terms_of(self, source: str) -> Terms:
        return self._of_sources.get(source, self._service)

    @property
    def ledger_health(self) -> LedgerHealth:
        """Whether decisions are being recorded."""
        return self._ledger.health()

    @property
    def lists_health(self) -> ListsHealth:
        """Whether the lists are those of the store, and have what sources want."""
        return self._known.health({bank for terms in self._of_sources.values() for bank in terms.banks or ()})

    @property
    def over_quota(self) -> Mapping[str, int]:
        """Pictures over their quota since the start, by source; sources without a quota are left out."""
        return self._quotas.refused

    @property
    def full_for_s(self) -> float:
        """Seconds for which the front end may refuse by itself, once :meth:`require_room` has refused."""
        return self._admission.full_for_s

    def count_arrival(self, is_authorised: bool, refused_before: int = 0) -> None:
        """See :meth:`serve_app.moderation.admission.AdmissionControl.count_arrival`."""
        self._admission.count_arrival(is_authorised, refused_before)

    def require_room(self, call: Call) -> None:
        """Check the quota and the room before a body is read, since reading is the larger part of a refusal.

        Where ``on_unscanned`` is ``accept``, the quota alone: a picture without room is stored, and its decision needs
        the digest of the body. One over its quota is refused even there: with enough pictures, anybody who may upload
        could have the next one stored unscanned.

        Raises:
            FullError: the service has no room.
            SourceFullError: it has none for the source of ``call``, or that is over its quota.
        """
        self._quotas.require(call.source)  # first: a picture over its quota is no demand for more replicas
        if self._terms_of(call.source).on_unscanned is OnUnscanned.REJECT:
            self._admission.require_room(source=call.source)
        self._quotas.count(call.source)

    def arriving(self, call: Call) -> contextlib.AbstractContextManager[None]:
        """The body of ``call`` is being read, and takes room, until the block ends."""
        is_asked = self._terms_of(call.source).on_unscanned is OnUnscanned.REJECT
        return self._admission.inside(call.source, is_asked=is_asked)

    async def moderate(self, body: Body, call: Call, by_terms_of: str | None = None) -> Decision:
        """Scan ``body`` and decide within the call's deadline; record the decision before returning it.

        ``by_terms_of`` names another source than the call's, by whose policy and lists is decided.
        """
        if call.lane is Lane.BACKGROUND:
            return await self._moderate(body, call, by_terms_of)
        with self._background.beside_live():
            return await self._moderate(body, call, by_terms_of)

    async def _moderate(self, body: Body, call: Call, by_terms_of: str | None) -> Decision:
        started_s = call.deadline.clock()
        terms = self._terms_of(by_terms_of or call.source)
        lists = self._known.snapshot(terms.banks)
        exact, known, seen = KnownBytes(), NOTHING, None
        result: Match | _Scanned | UnscannedError
        try:
            with timed(Stage.KNOWN, call):
                exact = await self._known.exact(lists, body, call)
            known = exact.matches
            result = known.deciding or await self._scan_or_stand_in(body, call, lists, terms)
        except DeadlineExceededError as error:
            result = error
        model = terms.model
        match result:
            case Match():
                outcome, kept = _listed(result)
            case _Scanned():
                seen = result
                known = Matches(seen.known.deciding, (*known.shadow, *seen.known.shadow))
                outcome, kept = _listed(known.deciding, seen.examination) if known.deciding else _judged(seen)
                terms, model = seen.terms, seen.examination.scores.model
                if known.deciding is None and (for_now := seen.let_through_for_now) is not None:
                    outcome, seen = for_now, None
            case _:
                outcome, kept = Unscanned(result.reason, str(result)), terms.keeps_unscanned(result)
        decision = Decision(
            request_id=call.request_id,
            decided_at=self._wall_clock(),
            sha256=body.sha256,
            body_bytes=len(body.content),
            outcome=outcome,
            kept=kept,
            model=model,
            policy=terms.policy.name,
            policy_digest=terms.policy.digest,
            elapsed_ms=(call.deadline.clock() - started_s) * 1e3,
            source=call.source,
            lane=call.lane,
            examination=seen.examination if seen else None,
            labels=seen.labels if seen else (),
            lists_version=lists.version if lists else 0,
            shadow_matches=tuple(map(listed, known.shadow)),
            worker=seen.examination.scores.worker if seen else None,
        )
        with timed(Stage.RECORD, call):
            answered = await self._sinks.record(terms.beside(decision))
        judged = seen.outcome if seen else None
        self._known.decided(answered, known.deciding, exact.other_digests, judged, terms.banks)
        return answered

    async def _scan_or_stand_in(
        self, body: Body, call: Call, lists: Snapshot | None, terms: Terms
    ) -> _Scanned | UnscannedError:
        """As :meth:`_scan`; an upload for which no scorer is there, by the terms that stand in, if there are any."""
        result = await self._scan(body, call, lists, terms)
        if not isinstance(result, UnavailableError) or terms.stand_in is None or call.lane is Lane.BACKGROUND:
            return result
        stood_in = await self._scan_or_stand_in(body, call, lists, terms.stand_in)
        return replace(stood_in, unavailable=result) if isinstance(stood_in, _Scanned) else stood_in

    async def _scan(self, body: Body, call: Call, lists: Snapshot | None, terms: Terms) -> _Scanned | UnscannedError:
        """What was seen of ``body``, judged and known of it, or why it was not scanned."""
        try:
            async with until(call.deadline, "scanning"):
                with timed(Stage.RECALL, call):
                    recalled = await self._recall(body.sha256, call.request_id, terms)
                    scanned = _judged_again(recalled, terms) if recalled is not None else None
                if scanned is None:
                    # Twins share what was seen; each judges by its own policy, and asks the lists of its own moment.
                    examination = await self._twins.examine(
                        (terms.labels, body.sha256),
                        *(call.lane, call.deadline, lambda: self._examine_with_room(body, call, terms)),
                    )
                    scores = examination.scores.picked(terms.labels, terms.policy.labels)
                    with timed(Stage.JUDGE, call):
                        outcome = terms.judge(examination, scores or examination.scores)
                    columns = with_recalled_columns(examination, terms.labels, recalled, self._labels)
                    scanned = _Scanned(outcome, *columns, terms)
                with timed(Stage.NEAREST, call):
                    known = await self._known.nearest(lists, scanned.examination, call.request_id)
                return replace(scanned, known=known)
        except UnscannedError as error:
            return error
        except Exception:
            # A fault of ours is not the picture's.
            logger.exception("scanning_failed", "scanning failed", request_id=call.request_id)
            return UnavailableError("internal fault: see the log under this request_id")

    async def _recall(self, sha256: str, request_id: str, terms: Terms) -> Recollection | None:
        """What is recorded of the same bytes and the same model. A ledger that fails or hangs counts as a miss."""
        model = terms.examiner.model or terms.last_heard_of
        if model is None:
            return None
        try:
            async with asyncio.timeout(self._budgets.recall_s):
                recalled = await self._ledger.recall(sha256, model.digest)
        except Exception as error:
            why = told(error, self._budgets.recall_s)
            text = f"the ledger failed to recall the same bytes: {why}"
            logger.error("recall_failed", text, request_id=request_id, why=why)
            return None
        if recalled is None:
            return None
        scores = replace(recalled.examination.scores, model=model)
        return replace(recalled, examination=replace(recalled.examination, scores=scores))

    async def _examine_with_room(self, body: Body, call: Call, terms: Terms) -> Examination:
        """Examine ``body`` once there is room: a live picture has had its room since before its body was read."""
        async with until(call.deadline, "scanning"), contextlib.AsyncExitStack() as stack:
            if call.lane is Lane.BACKGROUND:
                await stack.enter_async_context(self._background.through(call))
            if terms.on_unscanned is OnUnscanned.ACCEPT or call.lane is Lane.BACKGROUND:
                self._admission.require_room(source=call.source)
            stack.enter_context(self._admission.examining(call.source))
            if not terms.is_model_known:
                await terms.ready(call.deadline)
            return await terms.examiner.examine(body, call)


def _judged_again(recalled: Recollection, terms: Terms) -> _Scanned | None:
    """The recorded examination, and its judgement; None if its scores do not suffice for the policy's labels.

    A judgement by the same policy is taken over; another policy judges the recorded scores.
    """
    recorded = recalled.examination
    scores = recorded.scores.picked(recalled.labels, terms.policy.labels)
    if scores is None:
        return None
    examination = replace(recorded, preprocess_ms=0.0, score_ms=0.0, is_recalled=True)
    # Recorded scores are rounded: only the judgement itself is the same one for certain.
    is_same_policy = recalled.policy_digest == terms.policy.digest
    earlier = recalled.judged if is_same_policy else None
    return _Scanned(earlier or terms.judge(examination, scores), examination, recalled.labels, terms)


def _listed(match: Match, seen: Examination | None = None) -> tuple[Outcome, bool]:
    """The outcome, and whether the image server may store the picture."""
    outcome = listed(match, seen)
    return outcome, outcome.verdict.keeps_picture


def _judged(scanned: _Scanned) -> tuple[Outcome, bool]:
    """As :func:`_listed`."""
    return scanned.outcome, scanned.outcome.judgement.verdict.keeps_picture


def _holds_in_each_lane(outcome: Examination | UnscannableError) -> bool:
    """Whether callers in either lane may have this outcome: the lanes differ for files without their end."""
    if isinstance(outcome, UnscannableError):
        return not isinstance(outcome, TruncatedError)
    return not outcome.is_truncated
