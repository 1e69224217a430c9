"""Bodies that a worker decoded: of some the front cuts views too, and compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    LoadSignals,
    NotScannedError,
    Preprocessor,
    UnscannableError,
    needs_faces,
)
from serve_app.remote.fleet import Answered, Member
from serve_app.remote.trust.discipline import Discipline
from serve_app.remote.trust.doubles import Doubles
from serve_app.remote.trust.jobs import Jobs
from serve_app.remote.trust.standings import Standings
from serve_app.remote.trust.view_agreement import difference_of


class DecodedBodies:
    """Compares what workers say of bodies with what the front sees of them, and has the scores compared too."""

    def __init__(
        self,
        label_sets: Sequence[tuple[str, ...]],
        deadline_s: float,
        standings: Standings,
        discipline: Discipline,
        doubles: Doubles,
        jobs: Jobs,
    ) -> None:
        """``deadline_s`` is that of a picture. Nothing is compared before there is a :attr:`preprocessor`."""
        self._label_sets, self._deadline_s = tuple(label_sets), deadline_s
        self._standings, self._discipline, self._doubles, self._jobs = standings, discipline, doubles, jobs
        self.preprocessor: Preprocessor | None = None
        """Cuts the views that those of workers are compared with."""

    def examined(self, label_set: int, body: Body, call: Call, answered: Answered) -> None:
        """A worker decoded a picture and scored it."""
        name = answered.scores.worker
        if name is not None:
            self._discipline.decoded(name)
        member = next((each.member for each in self._standings if each.member.name == name), None)
        if member is not None and self.preprocessor is not None and self._doubles.comes_up():
            self._jobs.begin(partial(self._compare, member, self.preprocessor, label_set, body, call, answered))

    async def _compare(
        self, member: Member, preprocessor: Preprocessor, label_set: int, body: Body, call: Call, answered: Answered
    ) -> None:
        size_px = member.hello.offers[label_set].model.image_size_px
        with_faces = any(map(needs_faces, self._label_sets[label_set]))
        # In its own lane, since that says what becomes of a picture whose end is missing.
        own = replace(call, deadline=Deadline.after(self._deadline_s))
        try:
            views = await preprocessor.preprocess(body.content, size_px, own, LoadSignals(), with_faces)
        except UnscannableError as error:
            # A slower machine may run into a limit that the worker does not.
            self._discipline.strike(member, f"it scored bytes that the front cannot scan ({error.reason})")
            return
        except NotScannedError:
            return
        if (how := difference_of(answered.views, views)) is not None:
            self._discipline.distrust(member, f"compared with what the front decodes, over a picture: {how}")
        elif len(answered.views.faces.places) != len(views.faces.places):
            pass  # scores of other faces say nothing of those of these
        elif (second := self._standings.second(member)) is not None:
            await self._doubles.compare(member, second, label_set, views, call, answered.scores)
