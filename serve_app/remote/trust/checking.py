"""Probes of one worker: its scores beside those of a reference, until they agree or differ."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from serve_app.domain import (
    Call,
    Deadline,
    LabelScores,
    Lane,
    LoadSignals,
    NotScannedError,
    Scorer,
    UnavailableError,
    Views,
    needs_faces,
)
from serve_app.remote.fleet import Fleet, Member
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.probes import PictureShape, Probe, RecentShapes
from serve_app.remote.trust.recorded_probes import RecordedProbes
from serve_app.remote.trust.score_agreement import ENOUGH_VIEWS, Agreement, Evidence

_FOLLOWS_WITHIN_S: Final = 5.0
"""Between the probes of a worker that has pictures too: at any moment of so many seconds."""


_REFERENCE_WITHIN_S: Final = 3.0
"""A reference that takes longer is away, or has other work: meanwhile pictures may wait for the one on trial."""

_RECORDED_VIEWS: Final = 2 * ENOUGH_VIEWS


class ReferenceLostError(Exception):
    """The other side of a comparison did not answer: that says nothing of the worker."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Whose scores a worker's are compared with: another worker's, or the front's engine's, or those recorded."""

    member: Member | None = None
    is_engine: bool = False

    @property
    def is_recorded(self) -> bool:
        """Whether nobody is asked, and scores of earlier are taken."""
        return self.member is None and not self.is_engine

    def __str__(self) -> str:
        if self.member is not None:
            return self.member.name
        return "the front's engine" if self.is_engine else "what was recorded for the model"


_ENGINE: Final = Reference(is_engine=True)


@dataclass(slots=True)
class Check:
    """Probes of one worker and what came of them; ``sent_at`` is when the first was sent."""

    label_set: int
    reference: Reference
    evidence: Evidence
    sent_at: datetime
    answers: list[tuple[Probe, LabelScores]] = field(default_factory=list)
    references: list[LabelScores] = field(default_factory=list)
    recorded_of: Sequence[str] = ()

    @property
    def compared_with(self) -> str:
        """Whose scores the worker's were compared with, for people."""
        if not self.reference.is_recorded:
            return str(self.reference)
        return f"what was recorded of {' and '.join(self.recorded_of) or _ENGINE}"


class Checking:
    """Asks workers and references about probes."""

    def __init__(
        self,
        fleet: Fleet,
        label_sets: Sequence[tuple[str, ...]],
        deadline_s: float,
        environment: Environment,
    ) -> None:
        """As :class:`serve_app.remote.trust.trust.Trust` is made."""
        self.shapes = RecentShapes(deadline_s)
        self.recorded = RecordedProbes()
        self._fleet, self._label_sets = fleet, tuple(label_sets)
        self.engines: tuple[Scorer, ...] = ()
        """The front's own, one for each set of labels, of the workers' weights; empty without."""
        self._deadline_s, self._environment, self._chance = deadline_s, environment, environment.chance

    @property
    def label_sets(self) -> range:
        """The places of the sets of labels."""
        return range(len(self._label_sets))

    def evidence(self, label_set: int) -> Evidence:
        """None yet, for the labels of this set."""
        return Evidence(self._label_sets[label_set])

    async def record(self, member: Member, label_set: int) -> Sequence[LabelScores]:
        """Record what a worker says of probes enough, since there is nobody to compare it with.

        Raises:
            NotScannedError: it does not answer.
        """
        taken: list[tuple[Probe, LabelScores]] = []
        while sum(len(scores.values) for _, scores in taken) < _RECORDED_VIEWS:
            probe = self._probe(member, label_set)
            taken.append((probe, await self._by_worker(member, probe.shape, await probe.views())))
        for probe, scores in taken:
            self.recorded.add(probe, scores)
        return [scores for _, scores in taken]

    async def check(self, member: Member, reference: Reference, label_set: int, at_least_views: int) -> Check:
        """Send probes until it is known whether the worker agrees with the reference.

        Raises:
            NotScannedError: the worker does not answer.
            ReferenceLostError: the reference does not.
        """
        check = Check(label_set, reference, self.evidence(label_set), self._environment.now())
        check.recorded_of = self.recorded.scored_by(label_set)
        evidence = check.evidence
        while evidence.agreement is Agreement.UNDECIDED or (
            evidence.agreement is Agreement.AGREES and evidence.views < at_least_views
        ):
            if check.answers and not member.is_on_trial:
                await self._environment.sleep(self._chance.uniform(0, _FOLLOWS_WITHIN_S))
            probe, answer, expected = await self._both(member, reference, label_set)
            check.answers.append((probe, answer))
            check.references.append(expected)
            evidence.add(expected, answer)
        return check

    async def judge(self, check: Check, judge: Reference) -> tuple[Check, Evidence]:
        """What a third one says of the same probes: the check of the worker by it, and evidence on the reference.

        Raises:
            ReferenceLostError: it does not answer.
        """
        by_judge = Check(check.label_set, judge, self.evidence(check.label_set), check.sent_at, list(check.answers))
        of_reference = self.evidence(check.label_set)
        for (probe, answer), expected in zip(check.answers, check.references, strict=True):
            scores = await self._by_reference(judge, probe.shape, await probe.views())
            by_judge.references.append(scores)
            by_judge.evidence.add(scores, answer)
            of_reference.add(scores, expected)
        return by_judge, of_reference

    async def of_picture(self, reference: Reference, label_set: int, views: Views) -> LabelScores:
        """The scores of a picture by a second one, in the background lane.

        Raises:
            ReferenceLostError: it does not answer.
        """
        shape = PictureShape(label_set, len(views.pixels), len(views.faces.pixels), Lane.BACKGROUND, self._deadline_s)
        return await self._by_reference(reference, shape, views)

    def _probe(self, member: Member, label_set: int) -> Probe:
        with_faces = any(map(needs_faces, self._label_sets[label_set]))
        shape = self.shapes.one(self._chance, label_set, with_faces)
        return Probe.fresh(self._chance, shape, member.hello.offers[label_set].model.image_size_px)

    async def _both(
        self, member: Member, reference: Reference, label_set: int
    ) -> tuple[Probe, LabelScores, LabelScores]:
        if reference.is_recorded:
            fresh = self._probe(member, label_set)
            recorded = self.recorded.one(self._chance, fresh.shape, fresh.size_px)
            if recorded is None:
                raise ReferenceLostError("nothing is recorded")
            probe, values = recorded
            answer = await self._by_worker(member, probe.shape, await probe.views(self._chance.getrandbits(64)))
            return probe, answer, replace(answer, values=values)
        probe = self._probe(member, label_set)
        views = await probe.views()
        # Of the two, the one that is left alone ends by its deadline.
        answer, expected = await asyncio.gather(
            self._by_worker(member, probe.shape, views), self._by_reference(reference, probe.shape, views)
        )
        return probe, answer, expected

    async def _by_worker(self, member: Member, shape: PictureShape, views: Views) -> LabelScores:
        return await self._fleet.score_by(member, shape.label_set, views, self._call(shape))

    async def _by_reference(self, reference: Reference, shape: PictureShape, views: Views) -> LabelScores:
        try:
            if reference.member is not None:
                async with asyncio.timeout(_REFERENCE_WITHIN_S):
                    return await self._by_worker(reference.member, shape, views)
            if reference.is_recorded:
                raise UnavailableError("what is recorded cannot be asked")
            engine = self.engines[shape.label_set]
            return await engine.score(views, self._call(shape), LoadSignals())
        except (NotScannedError, TimeoutError) as error:
            raise ReferenceLostError(f"{reference}: {error}") from error

    def _call(self, shape: PictureShape) -> Call:
        return Call(uuid.uuid4().hex, Deadline.after(shape.remaining_s, self._environment.clock), shape.lane)
