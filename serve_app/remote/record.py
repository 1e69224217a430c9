"""What becomes of workers, as counts, lines of the log, and what admins see."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from serve_app.domain import Call, Clock, LabelScores, NotScannedError, Views
from serve_app.domain.workers import ConnectedWorker, StandingIn, WorkersHealth, WorkerState
from serve_app.logs import EventLogger
from serve_app.remote.fleet import Fleet, FleetStats, Member, MemberStats
from serve_app.remote.messages import Refusal, Refused

logger = EventLogger(__name__)

STRANGER: Final = "secret"
"""Why a connection without the right secret is refused, beside the values of :class:`Refusal`."""


class FleetRecord:
    """Of one fleet, from now on: :class:`FleetWatcher`, and :class:`serve_app.domain.workers.WorkersView`."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        standing_in: Callable[[], StandingIn] = lambda: StandingIn.NOBODY,
        clock: Clock = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``standing_in`` says who looks at uploads while no worker gets pictures."""
        self._fleet = fleet
        self._standing_in = standing_in
        self._clock = clock
        self._wall_clock = wall_clock
        self._since: dict[str, datetime] = {}
        self._absent_since: datetime | None = None
        self._absent_since_s: float | None = None
        self._unscanned_since: datetime | None = None
        self._handed_over = 0
        self._refused: Counter[str] = Counter(dict.fromkeys((STRANGER, *Refusal), 0))
        fleet.watchers.append(self)

    # As a watcher of the fleet, and of who is let into it

    def joined(self, member: Member) -> None:
        """See :class:`~serve_app.remote.fleet.ports.FleetWatcher`."""
        self._since[member.name] = self._wall_clock()

    def left(self, member: Member, why: str) -> None:
        """See :class:`~serve_app.remote.fleet.ports.FleetWatcher`."""
        self._since.pop(member.name, None)

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        """See :class:`~serve_app.remote.fleet.ports.FleetWatcher`: the decision names the worker."""

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        """See :class:`~serve_app.remote.fleet.ports.FleetWatcher`."""
        self._handed_over += 1
        text = f"the picture is handed over from the worker {member.name} to another one: {why}"
        logger.info("picture_handed_over", text, request_id=call.request_id, worker=member.name, why=why)

    def failed(self, call: Call, error: NotScannedError) -> None:
        """See :class:`~serve_app.remote.fleet.ports.FleetWatcher`: the decision has the reason."""

    def refused(self, reason: Refusal) -> None:
        """A worker with a right secret was not taken."""
        self._refused[reason] += 1

    def stranger_refused(self) -> None:
        """A connection without the right secret was refused."""
        self._refused[STRANGER] += 1

    def switched(self, away: bool) -> None:
        """No worker gets pictures from now on, or one does again."""
        if away is (self._absent_since is not None):
            return
        self._absent_since = self._wall_clock() if away else None
        self._absent_since_s = self._clock() if away else None

    def neglected(self, is_so: bool) -> None:
        """Nobody looks at uploads from now on, or somebody does again."""
        if is_so is (self._unscanned_since is None):
            self._unscanned_since = self._wall_clock() if is_so else None

    # As what the metrics ask for

    @property
    def stats(self) -> FleetStats:
        """What the fleet has now."""
        return self._fleet.stats

    @property
    def states(self) -> Mapping[str, int]:
        """Connected workers, by their state."""
        counted = Counter(_state_of(member) for member in self._fleet.members)
        return {state.value: counted[state] for state in WorkerState}

    @property
    def handed_over_pictures(self) -> int:
        """Since the start."""
        return self._handed_over

    @property
    def refused_workers(self) -> Mapping[str, int]:
        """Since the start, by the reason."""
        return dict(self._refused)

    @property
    def absent_s(self) -> float:
        """Seconds since a worker got pictures; 0 while one does."""
        return 0.0 if self._absent_since_s is None else self._clock() - self._absent_since_s

    @property
    def is_fallback_scoring(self) -> bool:
        """Whether no worker gets pictures, and somebody stands in."""
        return self._absent_since is not None and self._standing_in() is not StandingIn.NOBODY

    # As what admins see

    async def connected(self) -> Sequence[ConnectedWorker]:
        """See :class:`~serve_app.domain.workers.WorkersView`."""
        return [self._connected(member, member.stats) for member in self._fleet.members]

    async def health(self) -> WorkersHealth:
        """See :class:`~serve_app.domain.workers.WorkersView`."""
        connected = len(self._fleet.members)
        return WorkersHealth(connected, self._absent_since, self._standing_in(), self._unscanned_since)

    async def dismiss(self, name: str, actor: str) -> bool:
        """See :class:`~serve_app.domain.workers.WorkersView`."""
        member = next((each for each in self._fleet.members if each.name == name), None)
        if member is None:
            return False
        why = f"the admin {actor} of the front has sent this worker away: ask them before you start it again"
        self._fleet.dismiss(member, Refused(Refusal.REVOKED, why))
        return True

    def _connected(self, member: Member, stats: MemberStats) -> ConnectedWorker:
        return ConnectedWorker(
            name=member.name,
            owner=member.owner,
            state=_state_of(member),
            device=member.hello.device,
            version=member.hello.version,
            models=_models_of(member),
            since=self._since.get(member.name) or self._wall_clock(),
            pictures=stats.pictures,
            in_flight=stats.in_flight,
            view_ms=stats.view_ms,
            round_trip_ms=stats.round_trip_ms,
        )


def _state_of(member: Member) -> WorkerState:
    if member.is_leaving:
        return WorkerState.LEAVING
    if member.is_on_trial:
        return WorkerState.ON_TRIAL
    return WorkerState.TRUSTED if member.is_usable else WorkerState.SILENT


def _models_of(member: Member) -> Sequence[str]:
    return tuple(dict.fromkeys(str(offer.model) for offer in member.hello.offers))
