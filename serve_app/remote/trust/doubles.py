"""Doubles: pictures that a second worker, or the front's engine, scores too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serve_app.domain import LabelScores, Views
from serve_app.remote.fleet import Member
from serve_app.remote.trust.checking import Checking, Reference, ReferenceLostError
from serve_app.remote.trust.score_agreement import ENOUGH_VIEWS, Agreement, Evidence

_POOLS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Dispute:
    """Two scored a picture differently; ``wrong`` is None where nobody can say which of them is wrong."""

    how: str
    wrong: Member | None


class Doubles:
    """Compares the scores of pictures.

    Two that agreed closely about probes have to do so about each picture. Of others, whose arithmetic differs more, the
    scores of several pictures are taken together.
    """

    def __init__(self, checking: Checking, judge: Callable[[Member, Member], Reference | None]) -> None:
        """``judge`` finds a third one to two workers."""
        self._checking, self._judge = checking, judge
        self._pools: OrderedDict[tuple[str, str, int], Evidence] = OrderedDict()

    async def compare(
        self, member: Member, second: Reference, label_set: int, views: Views, scores: LabelScores, *, are_close: bool
    ) -> Dispute | None:
        """Have ``second`` score what ``member`` has scored; None where they agree, or no answer came."""
        try:
            again = await self._checking.of_picture(second, label_set, views)
            how = self._difference(member, second, label_set, again, scores, are_close)
            if how is None:
                return None
            if second.member is None:
                return Dispute(f"compared with {second}, over a picture: {how}", member)
            judge = self._judge(member, second.member)
            if judge is None:
                return Dispute(how, None)
            third = await self._checking.of_picture(judge, label_set, views)
        except ReferenceLostError:
            return None
        is_right, is_second_right = (self._one(label_set, third, each).is_close_enough for each in (scores, again))
        if is_right == is_second_right:
            return Dispute(how, None)
        wrong, other = (second.member, member.name) if is_right else (member, second.member.name)
        return Dispute(f"compared with {other} and {judge}, over a picture: {how}", wrong)

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
            if len(self._pools) > _POOLS_KEPT:
                self._pools.popitem(last=False)
        return None

    def _one(self, label_set: int, reference: LabelScores, answer: LabelScores) -> Evidence:
        evidence = self._checking.evidence(label_set)
        evidence.add(reference, answer)
        return evidence
