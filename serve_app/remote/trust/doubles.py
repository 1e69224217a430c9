"""Doubles: pictures that a second worker, or the front's engine, scores too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from serve_app.domain import Call, LabelScores, Views
from serve_app.remote.fleet import Member
from serve_app.remote.trust.checking import Checking, Reference, ReferenceLostError
from serve_app.remote.trust.discipline import Discipline
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.jobs import Jobs
from serve_app.remote.trust.recent import Recent
from serve_app.remote.trust.score_agreement import ENOUGH_VIEWS, Agreement, Evidence
from serve_app.remote.trust.standings import Standings
from serve_app.remote.trust.trials import Trials

_POOLS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class _Dispute:
    """Two scored a picture differently; ``wrong`` is None where nobody can say which of them is wrong."""

    how: str
    wrong: Member | None


class Doubles:
    """Compares the scores of pictures.

    Two that agreed closely about probes have to do so about each picture. Of others, whose arithmetic differs more, the
    scores of several pictures are taken together.
    """

    def __init__(
        self,
        double_every: int,
        checking: Checking,
        standings: Standings,
        discipline: Discipline,
        trials: Trials,
        environment: Environment,
        jobs: Jobs,
    ) -> None:
        """One picture in ``double_every`` is scored twice."""
        self._double_every, self._checking, self._standings = double_every, checking, standings
        self._discipline, self._trials, self._environment, self._jobs = discipline, trials, environment, jobs
        self._is_owed = False
        self._pools: Recent[tuple[str, str, int], Evidence] = Recent(_POOLS_KEPT)

    def comes_up(self) -> bool:
        """Whether a picture is one of those that are scored twice."""
        return self._environment.comes_up(self._double_every)

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        """A worker scored a picture: it is scored again, if it comes up and a second one has nothing to do."""
        self._is_owed = self._is_owed or self.comes_up()
        if self._is_owed and (second := self._standings.second(member)) is not None:
            self._is_owed = False
            self._jobs.begin(partial(self.compare, member, second, label_set, views, call, scores))

    async def compare(
        self, member: Member, second: Reference, label_set: int, views: Views, call: Call, scores: LabelScores
    ) -> None:
        """Have ``second`` score what ``member`` has scored; where they differ, what follows is done."""
        both = [each for each in (member, second.member) if each is not None]
        are_close = all(standing.is_close for each in both if (standing := self._standings.of(each)) is not None)
        dispute = await self._dispute(member, second, label_set, views, scores, are_close)
        if dispute is None:
            return
        if dispute.wrong is not None:
            self._discipline.distrust(dispute.wrong, dispute.how)
        elif second.member is not None:
            self._discipline.report_disagreement(member, second.member, call.request_id, dispute.how)
            for each in both:
                self._jobs.begin(partial(self._trials.probe, each, label_set))

    async def _dispute(
        self, member: Member, second: Reference, label_set: int, views: Views, scores: LabelScores, are_close: bool
    ) -> _Dispute | None:
        """None where they agree, or no answer came."""
        try:
            again = await self._checking.of_picture(second, label_set, views)
            how = self._difference(member, second, label_set, again, scores, are_close)
            if how is None:
                return None
            if second.member is None:
                return _Dispute(f"compared with {second}, over a picture: {how}", member)
            judge = self._standings.judge(member, second.member)
            if judge is None:
                return _Dispute(how, None)
            third = await self._checking.of_picture(judge, label_set, views)
        except ReferenceLostError:
            return None
        is_right, is_second_right = (self._one(label_set, third, each).is_close_enough for each in (scores, again))
        if is_right == is_second_right:
            return _Dispute(how, None)
        wrong, other = (second.member, member.name) if is_right else (member, second.member.name)
        return _Dispute(f"compared with {other} and {judge}, over a picture: {how}", wrong)

    def _difference(
        self,
        member: Member,
        second: Reference,
        label_set: int,
        again: LabelScores,
        scores: LabelScores,
        are_close: bool,
    ) -> str | None:
        if are_close:
            alone = self._one(label_set, again, scores)
            return None if alone.is_close_enough else alone.difference
        first, other = sorted((member.name, str(second)))
        key = first, other, label_set
        pool = self._pools.pop(key, None) or self._checking.evidence(label_set)
        pool.add(again, scores)
        if pool.agreement is Agreement.DIFFERS:
            return pool.difference
        if pool.views < ENOUGH_VIEWS:
            self._pools[key] = pool
        return None

    def _one(self, label_set: int, reference: LabelScores, answer: LabelScores) -> Evidence:
        evidence = self._checking.evidence(label_set)
        evidence.add(reference, answer)
        return evidence
