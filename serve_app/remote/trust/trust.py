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

from collections.abc import Sequence
from functools import partial

from serve_app.domain import Body, Call, LabelScores, NotScannedError, Preprocessor, Scorer, Views
from serve_app.remote.fleet import Answered, Fleet, Member
from serve_app.remote.trust.checking import Checking
from serve_app.remote.trust.decoded_bodies import DecodedBodies
from serve_app.remote.trust.discipline import Discipline
from serve_app.remote.trust.doubles import Doubles
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.jobs import Jobs
from serve_app.remote.trust.probes import PictureShape
from serve_app.remote.trust.reports import TrustReports
from serve_app.remote.trust.standings import Standings
from serve_app.remote.trust.trials import Trials


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
            environment: time and chance.
        """
        self._environment = around = environment or Environment()
        self._probe_every, self._deadline_s = probe_every, deadline_s
        self._jobs = jobs = Jobs()
        self._checking = checking = Checking(fleet, label_sets, deadline_s, around)
        self._standings = standings = Standings(around.chance)
        self._discipline = discipline = Discipline(fleet, reports, around, standings, checking.recorded, jobs)
        self._trials = trials = Trials(checking, standings, discipline, reports, around, jobs)
        self._doubles = Doubles(double_every, checking, standings, discipline, trials, around, jobs)
        self._bodies = DecodedBodies(label_sets, deadline_s, standings, discipline, self._doubles, jobs)
        fleet.watchers.append(self)

    async def run(self) -> None:
        """Do what pictures and workers give rise to, until it is cancelled."""
        await self._jobs.run()

    def compare_with(self, engines: Sequence[Scorer]) -> None:
        """The front has engines of its own from now on: one for each set of labels, of the workers' weights."""
        self._checking.engines = tuple(engines)
        self._standings.has_engine = bool(engines)

    def decode_with(self, preprocessor: Preprocessor) -> None:
        """What workers say of bodies is compared with the views that this one cuts."""
        self._bodies.preprocessor = preprocessor

    def require_welcome(self, owner: str, name: str | None = None) -> None:
        """To be asked before a worker joins, also while it has not said yet what its name is.

        Raises:
            RefusedError: this worker was sent away recently, or another one of its owner's for wrong scores.
        """
        self._discipline.require_welcome(owner, name)

    # What the fleet tells: see FleetWatcher.

    def joined(self, member: Member) -> None:
        """See the protocol."""
        self._standings.add(member)
        member.is_on_trial = True
        self._jobs.begin(partial(self._trials.run, member))

    def left(self, member: Member, why: str) -> None:
        """See the protocol."""
        freed = self._standings.remove(member)
        self._discipline.left(member, why)
        for other in freed:
            self._jobs.begin(partial(self._trials.run, other))  # pictures may wait for it

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
        if self._environment.comes_up(self._probe_every):
            self._jobs.begin(partial(self._trials.probe, member, label_set))
        if views.pixels.size:  # else it is of a body, of which examined() is told
            self._doubles.scored(member, label_set, views, call, scores)

    def examined(self, label_set: int, body: Body, call: Call, answered: Answered) -> None:
        """A worker decoded a picture and scored it: of some the front cuts views too, and compares."""
        self._bodies.examined(label_set, body, call, answered)

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        """See the protocol."""
        del call, why
        self._discipline.strike(member, "a picture was handed over to another worker")

    def failed(self, call: Call, error: NotScannedError) -> None:
        """See the protocol."""
