"""Probes of workers: who passes them, and who is wrong where two differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from serve_app.domain import NotScannedError
from serve_app.logs import EventLogger
from serve_app.remote.fleet import Member
from serve_app.remote.trust.checking import Check, Checking, ReferenceLostError
from serve_app.remote.trust.discipline import Discipline
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.jobs import Jobs
from serve_app.remote.trust.reports import PassedProbe, TrustReports
from serve_app.remote.trust.score_agreement import ENOUGH_VIEWS, Agreement, is_constant
from serve_app.remote.trust.standings import Standing, Standings

logger = EventLogger(__name__)

_PROBE_WITHIN_S: Final = 20.0
"""After the picture that a probe follows."""

_TRIED_AGAIN_S: Final = 30.0
"""After a trial that came to nothing."""

_NO_WEIGHTS: Final = "0" * 64
"""The digest of the fake engine, which may score all pictures alike."""


class Trials:
    """Ends the trial of a worker that passes probes, and has the others sent away, or tried again."""

    def __init__(
        self,
        checking: Checking,
        standings: Standings,
        discipline: Discipline,
        reports: TrustReports,
        environment: Environment,
        jobs: Jobs,
    ) -> None:
        """``reports`` are told of each probe that is passed."""
        self._checking, self._standings, self._discipline = checking, standings, discipline
        self._reports, self._environment, self._jobs = reports, environment, jobs

    async def run(self, member: Member) -> None:
        """Probe a worker until it is trusted, or has ended."""
        if self._discipline.turn_away(member):
            return
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

    async def probe(self, member: Member, label_set: int) -> None:
        """Probe a worker that has pictures, at some moment of the next ones."""
        await self._environment.sleep(self._environment.chance.uniform(0, _PROBE_WITHIN_S))
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
            self._discipline.strike(member, "a probe was not scored", may_be_needed=not member.is_on_trial)
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
            self._discipline.distrust(member, "it scores all pictures alike, which no model does")

    async def _judged(self, standing: Standing, check: Check) -> Check | None:
        """As :meth:`_passed`, for a worker that differs from its reference; who is found wrong is sent away."""
        member, other, how = standing.member, check.reference.member, check.evidence.difference
        if other is None:
            self._discipline.distrust(member, f"compared with {check.compared_with}: {how}")
            return None
        judge = self._standings.judge(member, other)
        if judge is None:
            self._contest(standing, other, how)
            return None
        by_judge, of_other = await self._checking.judge(check, judge)
        is_right, is_other_right = (each.agreement is not Agreement.DIFFERS for each in (by_judge.evidence, of_other))
        if is_right and not is_other_right:
            self._discipline.distrust(other, f"compared with {member.name} and {judge}: {how}")
        elif is_other_right and not is_right:
            self._discipline.distrust(member, f"compared with {other.name} and {judge}: {how}")
        elif not is_right and judge.is_engine:
            for wrong in (member, other):
                self._discipline.distrust(wrong, f"compared with {judge}: {how}")
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
            each.settle(standing.member.name)
        for name in tuple(standing.contested_by):
            standing.settle(name)
        standing.silent.clear()
        self._trust(standing, sent_at, checks[-1].compared_with, share)
        for each in reconciled:
            self._trust(each, sent_at, standing.member.name, share)

    def _trust(self, standing: Standing, sent_at: datetime, compared_with: str, share: float) -> None:
        member, ends_trial = standing.member, standing.member.is_on_trial
        self._discipline.passed(member.name, sent_at)
        member.is_on_trial = False
        self._reports.passed(PassedProbe(member.name, member.owner, sent_at, compared_with, share, ends_trial))

    def _contest(self, standing: Standing, other: Member, how: str) -> None:
        """Neither of two that differ gets pictures until it is known which of them is right."""
        opponent, member = self._standings.of(other), standing.member
        if opponent is None or member.has_ended:
            return
        if other.name not in standing.contested_by:
            self._discipline.report_disagreement(member, other, None, how)
        for one, against in ((standing, other), (opponent, member)):
            self._checking.recorded.forget(one.member.name)
            one.contest(against.name)
            if not one.member.is_on_trial:
                one.member.is_on_trial = True
                self._jobs.begin(partial(self._run_later, one.member))

    async def _run_later(self, member: Member) -> None:
        await self._environment.sleep(_TRIED_AGAIN_S)
        await self.run(member)
