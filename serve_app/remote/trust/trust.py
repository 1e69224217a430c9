"""Whether workers score honestly: probes at each connect and at unforeseeable moments, doubles, and strikes.

A worker is on trial, without pictures, until it has scored
:data:`~serve_app.remote.trust.score_agreement.ENOUGH_VIEWS` drawn views as it should. Its scores are compared with
those of a trusted worker of another owner, else of the front's engine, else of a trusted worker of the same owner, else
with what was recorded for the model. The first worker of all records that itself: it is held to what it said, and no
more.

Where two workers differ, a third one or the engine says which of them is wrong, and that one is dropped. Without a
third, both are on trial until one of them is gone, a third one is there, or they agree again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    LabelScores,
    LoadSignals,
    NotScannedError,
    Preprocessor,
    Scorer,
    UnscannableError,
    Views,
    needs_faces,
)
from serve_app.logs import EventLogger
from serve_app.remote.fleet import Answered, Fleet, Member
from serve_app.remote.messages import Refusal
from serve_app.remote.trust.checking import Check, Checking, Reference, ReferenceLostError
from serve_app.remote.trust.discipline import Discipline
from serve_app.remote.trust.doubles import Doubles
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.probes import PictureShape
from serve_app.remote.trust.reports import Disagreed, PassedProbe, TrustReports
from serve_app.remote.trust.score_agreement import ENOUGH_VIEWS, Agreement, is_constant
from serve_app.remote.trust.standings import Standing, Standings
from serve_app.remote.trust.view_agreement import difference_of

logger = EventLogger(__name__)

_PROBE_WITHIN_S: Final = 20.0
"""After the picture that a probe follows."""

_TRIED_AGAIN_S: Final = 30.0
"""After a trial that came to nothing."""

_NO_WEIGHTS: Final = "0" * 64
"""The digest of the fake engine, which may score all pictures alike."""


class Trust:
    """Watches over the workers of a fleet. It works while :meth:`run` does."""

    def __init__(
        self,
        fleet: Fleet,
        label_sets: Sequence[tuple[str, ...]],
        reports: TrustReports,
        *,
        probe_every: int,
        double_every: int,
        deadline_s: float,
        engines: Sequence[Scorer] = (),
        environment: Environment | None = None,
    ) -> None:
        """Watch ``fleet`` from now on.

        Args:
            fleet: whose workers are on trial until they have passed it.
            label_sets: those of the fleet.
            reports: who is told.
            probe_every: after one picture in this many, its worker gets a probe.
            double_every: one picture in this many goes to a second worker too, or to the engine where there is none.
            deadline_s: of a picture.
            engines: the front's own scorers, one for each set of labels, of the same weights; empty without.
            environment: time and chance.
        """
        self._environment = environment or Environment()
        self._chance = self._environment.chance
        self._fleet, self._reports = fleet, reports
        self._probe_every, self._double_every = probe_every, double_every
        self._checking = Checking(fleet, label_sets, engines, deadline_s, self._environment)
        self._standings = Standings(self._chance, has_engine=bool(engines))
        self._doubles = Doubles(self._checking, self._standings.judge)
        self._discipline = Discipline(fleet, reports, self._environment)
        self._owes_double = False
        self._deadline_s = deadline_s
        self._label_sets = tuple(label_sets)
        self._preprocessor: Preprocessor | None = None
        self._jobs: asyncio.Queue[Callable[[], Coroutine[None, None, None]]] = asyncio.Queue()
        fleet.watchers.append(self)

    async def run(self) -> None:
        """Do what pictures and workers give rise to, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._do(await self._jobs.get()))

    def compare_with(self, engines: Sequence[Scorer]) -> None:
        """The front has engines of its own from now on: one for each set of labels, of the workers' weights."""
        self._checking.engines = tuple(engines)
        self._standings.has_engine = bool(engines)

    def decode_with(self, preprocessor: Preprocessor) -> None:
        """What workers say of bodies is compared with the views that this one cuts."""
        self._preprocessor = preprocessor

    async def _do(self, job: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await job()
        except Exception:
            # A fault in one job must not leave all workers on trial for ever.
            logger.exception("trust_failed", "a check of a worker failed: it is made again")

    def require_welcome(self, owner: str) -> None:
        """To be asked before a worker joins.

        Raises:
            RefusedError: a worker of this owner was sent away recently.
        """
        self._discipline.require_welcome(owner)

    # What the fleet tells: see FleetWatcher.

    def joined(self, member: Member) -> None:
        """See the protocol."""
        self._standings.add(member)
        member.is_on_trial = True
        self._begin(partial(self._trial, member))

    def left(self, member: Member, why: str) -> None:
        """See the protocol."""
        self._standings.remove(member)
        if self._discipline.is_kept_out(member.owner):
            self._checking.recorded.forget(member.name)
            return
        if member.refused is not None and member.refused.reason is Refusal.DISTRUSTED:
            self._checking.recorded.forget(member.name)
            self._discipline.remember_distrusted(member, why)
        else:
            self._strike(member, "its connection ended")

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        """See the protocol."""
        self._discipline.forgive(member)
        rows = len(views.pixels) + len(views.faces.pixels)
        took_s = min((member.stats.round_trip_ms + member.stats.view_ms * rows) / 1e3, self._deadline_s)
        self._checking.shapes.add(
            PictureShape(
                label_set,
                len(views.pixels),
                len(views.faces.pixels),
                call.lane,
                call.deadline.remaining_s() + took_s,
            )
        )
        if self._comes_up(self._probe_every):
            self._begin(partial(self._probe, member, label_set))
        if not views.pixels.size:
            return  # a body, of which examined() is told
        self._owes_double = self._owes_double or self._comes_up(self._double_every)
        if self._owes_double and (second := self._standings.second(member)) is not None:
            self._owes_double = False
            self._begin(partial(self._double, member, second, label_set, views, call, scores))

    def examined(self, label_set: int, body: Body, call: Call, answered: Answered) -> None:
        """A worker decoded a picture and scored it: of some the front cuts views too, and compares."""
        if answered.scores.worker is not None:
            self._discipline.decoded(answered.scores.worker)
        member = next((each for each in self._fleet.members if each.name == answered.scores.worker), None)
        if member is not None and self._comes_up(self._double_every):
            self._begin(partial(self._compare_body, member, label_set, body, call, answered))

    async def _compare_body(self, member: Member, label_set: int, body: Body, call: Call, answered: Answered) -> None:
        if self._preprocessor is None:
            return
        size_px = member.hello.offers[label_set].model.image_size_px
        with_faces = any(map(needs_faces, self._label_sets[label_set]))
        # In its own lane, since that says what becomes of a picture whose end is missing.
        own = replace(call, deadline=Deadline.after(self._deadline_s))
        try:
            views = await self._preprocessor.preprocess(body.content, size_px, own, LoadSignals(), with_faces)
        except UnscannableError as error:
            # A slower machine may run into a limit that the worker does not.
            self._strike(member, f"it scored bytes that the front cannot scan ({error.reason})")
            return
        except NotScannedError:
            return
        if (how := difference_of(answered.views, views)) is not None:
            self._distrust(member, f"compared with what the front decodes, over a picture: {how}")
        elif len(answered.views.faces.places) != len(views.faces.places):
            pass  # scores of other faces say nothing of those of these
        elif (second := self._standings.second(member)) is not None:
            await self._double(member, second, label_set, views, call, answered.scores)

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        """See the protocol."""
        del call, why
        self._strike(member, "a picture was handed over to another worker")

    def failed(self, call: Call, error: NotScannedError) -> None:
        """See the protocol."""

    # Probes.

    async def _trial(self, member: Member) -> None:
        if self._discipline.is_kept_out(member.owner):
            self._discipline.turn_away(member)
        label_sets = tuple(self._checking.label_sets)
        while not member.has_ended and member.is_on_trial:
            try:
                if await self._check(member, label_sets, ENOUGH_VIEWS):
                    return
            except Exception:
                logger.exception("trust_failed", "a check of a worker failed: it is made again", worker=member.name)
            if (standing := self._standings.of(member)) is not None:
                standing.silent.clear()
            await self._environment.sleep(_TRIED_AGAIN_S)

    async def _probe(self, member: Member, label_set: int) -> None:
        await self._environment.sleep(self._chance.uniform(0, _PROBE_WITHIN_S))
        if not member.is_on_trial:
            await self._check(member, (label_set,), 1)

    async def _check(self, member: Member, label_sets: Sequence[int], at_least_views: int) -> bool:
        """Whether a worker passes probes of each of ``label_sets``; where not, what follows is done."""
        standing = self._standings.of(member)
        if standing is None or standing.is_checked:
            return False
        standing.is_checked = True
        try:
            checks = [await self._passed(standing, label_set, at_least_views) for label_set in label_sets]
        except NotScannedError:
            # One on trial gets no pictures: nobody needs it, and another one may want its place.
            self._strike(member, "a probe was not scored", is_needed=not member.is_on_trial)
            return False
        finally:
            standing.is_checked = False
        good = [check for check in checks if check is not None]
        if len(good) < len(checks) or self._standings.of(member) is not standing:
            return False
        self._pass(standing, good)
        return True

    async def _passed(self, standing: Standing, label_set: int, at_least_views: int) -> Check | None:
        """The check that a worker has passed; None where it has not, or nobody can say."""
        member = standing.member
        while True:
            reference = self._standings.reference(standing)
            if reference.is_recorded and standing.contested_by:
                return None  # its own word does not settle it
            try:
                if reference.is_recorded and not self._checking.recorded.has(label_set):
                    await self._record(member, label_set)
                check = await self._checking.check(member, reference, label_set, at_least_views)
                if check.evidence.agreement is Agreement.AGREES:
                    return check
                return await self._judged(standing, check)
            except ReferenceLostError:
                if reference.member is None:
                    return None
                # Pictures may wait for this worker: another one is asked at once.
                standing.silent.add(reference.member.name)

    async def _record(self, member: Member, label_set: int) -> None:
        scores = await self._checking.record(member, label_set)
        if is_constant(scores) and member.hello.offers[label_set].model.weights_digest != _NO_WEIGHTS:
            self._distrust(member, "it scores all pictures alike, which no model does")

    async def _judged(self, standing: Standing, check: Check) -> Check | None:
        """As :meth:`_passed`, for a worker that differs from its reference; who is found wrong is sent away."""
        member, other, how = standing.member, check.reference.member, check.evidence.difference
        if other is None:
            self._distrust(member, f"compared with {check.compared_with}: {how}")
            return None
        judge = self._standings.judge(member, other)
        if judge is None:
            self._contest(standing, other, how)
            return None
        by_judge, of_other = await self._checking.judge(check, judge)
        is_right, is_other_right = (each.agreement is not Agreement.DIFFERS for each in (by_judge.evidence, of_other))
        if is_right and not is_other_right:
            self._distrust(other, f"compared with {member.name} and {judge}: {how}")
        elif is_other_right and not is_right:
            self._distrust(member, f"compared with {other.name} and {judge}: {how}")
        elif not is_right and judge.is_engine:
            for wrong in (member, other):
                self._distrust(wrong, f"compared with {judge}: {how}")
        elif not is_right:
            self._contest(standing, other, how)
        # Where both are right, each is near the limit, on another side of the judge.
        return by_judge if is_right else None

    def _pass(self, standing: Standing, checks: Sequence[Check]) -> None:
        for check in checks:
            if not check.reference.is_recorded:
                for (probe, _), expected in zip(check.answers, check.references, strict=True):
                    self._checking.recorded.add(probe, expected)
            standing.is_close &= check.evidence.is_close
        sent_at, share = min(check.sent_at for check in checks), max(check.evidence.share for check in checks)
        compared = {check.reference.member for check in checks}
        reconciled = [each for each in self._standings.named(standing.contested_by) if each.member in compared]
        for each in self._standings.named(standing.contested_by):
            each.contested_by.discard(standing.member.name)
        standing.contested_by.clear()
        standing.silent.clear()
        self._trust(standing, sent_at, checks[-1].compared_with, share)
        for each in reconciled:
            self._trust(each, sent_at, standing.member.name, share)

    def _trust(self, standing: Standing, sent_at: datetime, compared_with: str, share: float) -> None:
        member, ends_trial = standing.member, standing.member.is_on_trial
        self._discipline.passed(member.name, sent_at)
        member.is_on_trial = False
        self._reports.passed(PassedProbe(member.name, member.owner, sent_at, compared_with, share, ends_trial))

    # Doubles.

    async def _double(
        self, member: Member, second: Reference, label_set: int, views: Views, call: Call, scores: LabelScores
    ) -> None:
        both = [each for each in (member, second.member) if each is not None]
        are_close = all(standing.is_close for each in both if (standing := self._standings.of(each)) is not None)
        dispute = await self._doubles.compare(member, second, label_set, views, scores, are_close=are_close)
        if dispute is None:
            return
        if dispute.wrong is not None:
            self._distrust(dispute.wrong, dispute.how)
        elif second.member is not None:
            self._report_disagreement(member, second.member, call.request_id, dispute.how)
            for each in both:
                self._begin(partial(self._probe, each, label_set))

    # What follows.

    def _contest(self, standing: Standing, other: Member, how: str) -> None:
        opponent, member = self._standings.of(other), standing.member
        if opponent is None or member.has_ended:
            return
        if other.name not in standing.contested_by:
            self._report_disagreement(member, other, None, how)
        for one, against in ((standing, other), (opponent, member)):
            self._checking.recorded.forget(one.member.name)
            one.contested_by.add(against.name)
            if not one.member.is_on_trial:
                one.member.is_on_trial = True
                self._begin(partial(self._again, one.member))

    async def _again(self, member: Member) -> None:
        await self._environment.sleep(_TRIED_AGAIN_S)
        await self._trial(member)

    def _report_disagreement(self, member: Member, other: Member, request_id: str | None, how: str) -> None:
        names, on_trial = (member.name, other.name), request_id is None
        what = "neither gets pictures until it is known which of them is right" if on_trial else "both are probed"
        why = (
            f"workers {names[0]} and {names[1]} disagree: {how}. Nobody is there to say which of them is right: "
            f"{what}. Remove the secret of the one that you trust less, or connect a third worker"
        )
        last_good_at, has_decoded = self._discipline.last_good_at(names), self._discipline.has_decoded(names)
        at = self._environment.now()
        self._reports.disagreed(Disagreed(names, at, last_good_at, request_id, on_trial, why, has_decoded))

    def _distrust(self, member: Member, why: str) -> None:
        self._checking.recorded.forget(member.name)
        self._discipline.distrust(member, why)

    def _strike(self, member: Member, why: str, *, is_needed: bool = True) -> None:
        is_needed = is_needed and not self._standings.trusted_beside(member)
        if self._discipline.strike(member, why, is_needed=is_needed):
            self._begin(partial(self._suspend, member))

    async def _suspend(self, member: Member) -> None:
        self._discipline.suspend(member)

    def _comes_up(self, one_in: int) -> bool:
        return self._chance.random() * one_in < 1

    def _begin(self, job: Callable[[], Coroutine[None, None, None]]) -> None:
        self._jobs.put_nowait(job)
