"""The front: the part of a service that workers elsewhere connect to, and its scorers over them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from serve_app.composition.fallback import stand_in_of, with_fallback
from serve_app.domain import Examiner, Preprocessor, SettingsError, UnauthorisedError, UnavailableError
from serve_app.domain.workers import StandingIn
from serve_app.http.guard import Guard
from serve_app.http.node_listener import Listener, node_listening
from serve_app.http.routes.pop import pop_routes
from serve_app.http.server import serving_beside
from serve_app.http.strangers import Strangers
from serve_app.http.workers.door import ANSWER_WITHIN_S, DRAIN_S, WorkerDoor, worker_app
from serve_app.logs import EventLogger
from serve_app.moderation.terms import StandIn
from serve_app.policy import Policy
from serve_app.remote.absence import Absence, what_happens
from serve_app.remote.bodies import RemoteBodies
from serve_app.remote.fallback import Scorers, ScorersWithFallback
from serve_app.remote.fedi_safety import PoppedExaminer, fedi_safety_policy
from serve_app.remote.fleet import Fleet, RefusedError
from serve_app.remote.popped import PoppedJobs
from serve_app.remote.record import FleetRecord
from serve_app.remote.requirements import requirement_of, wanted_of
from serve_app.remote.scorers import RemoteScorers
from serve_app.remote.trust import Records, Trust, TrustRecord
from serve_app.settings import Settings

logger = EventLogger(__name__)

_NO_HEADS: Final[Mapping[str, bytes]] = MappingProxyType({})


class Front:
    """A fleet, the door to it, and scorers over it. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        label_sets: Sequence[tuple[str, ...]],
        policies: Sequence[Policy],
        came_back: asyncio.Event,
        records: Records,
        heads: Mapping[str, bytes] = _NO_HEADS,
    ) -> None:
        """Without workers; ``settings`` have a section ``remote``.

        Args:
            settings: of the application.
            guard: knows the secrets of workers.
            label_sets: those that pictures want.
            policies: whose thresholds the models of workers have to fit; that of the service is the first.
            came_back: set whenever the first worker comes, after none was there.
            records: are told which workers are in doubt.
            heads: the files of those among the labels, as :func:`serve_app.remote.requirements.heads_to_send` reads.

        Raises:
            SettingsError: the fallback is no other one.
        """
        remote = settings.remote
        if remote is None:
            raise SettingsError("remote is null: no worker can connect")
        sets = tuple(label_sets)
        self.fleet = Fleet(sets, max_workers=remote.max_workers, has_stand_in=self._has_stand_in)
        self.scorers = RemoteScorers(self.fleet, sets)
        self._settings, self._remote, self._sets, self._policies = settings, remote, sets, tuple(policies)
        self._heads = dict(heads)
        self._stand_in = stand_in_of(remote.fallback, sets)
        self._popped = PoppedJobs()
        self._popped_examiner = PoppedExaminer(self._popped)
        self.trust_record = TrustRecord(records, sends_bodies=remote.sends == "bodies")
        self._trust = Trust(
            self.fleet,
            sets,
            self.trust_record,
            probe_every=remote.probe_every,
            double_every=remote.double_every,
            deadline_s=settings.deadline_s,
        )
        self.record = FleetRecord(self.fleet, standing_in=self._standing_in)
        self.absence = Absence(self._is_anybody_there, self._switched, came_back)
        self.neglect = Absence(lambda: self._is_anybody_there() or self._has_stand_in(), self.record.neglected)
        self.absence_of_popping = Absence(lambda: self._popped.is_anybody_there, lambda _: self._tell())
        self._told: StandingIn | None = None
        self._watching_tasks: tuple[asyncio.Task[None], ...] = ()
        self._door = WorkerDoor(
            guard,
            self.fleet,
            wanted_of(settings, sets, self._heads),
            requirement_of(policies, sets),
            remote.max_workers,
            record=self.record,
            require_welcome=self._trust.require_welcome,
        )
        self._routes = (
            pop_routes(self._owner_of_popping(guard), self._popped, Strangers()) if remote.fedi_safety else []
        )

    def _owner_of_popping(self, guard: Guard) -> Callable[[str | None], str]:
        """Whose secret a worker of fedi-safety has: none of an owner whose workers scored wrongly."""

        def owner_of(authorization: str | None) -> str:
            owner = guard.require_worker(authorization)
            try:
                self._trust.require_welcome(owner)
            except RefusedError as error:
                raise UnauthorisedError(str(error)) from error
            return owner

        return owner_of

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: nobody watches over the workers any more.
        """
        for task in self._watching_tasks:
            if task.done():
                raise UnavailableError(f"{task.get_name()} has ended: see the log")

    @property
    def scores_alone(self) -> bool:
        """Whether it has the models of the workers itself."""
        return self._remote.fallback == "cpu"

    def stand_ins(self, examiner_of: Callable[[tuple[str, ...]], Examiner]) -> Sequence[StandIn]:
        """Who looks at uploads while no worker is there, in this order. ``examiner_of`` as for other policies."""
        found = []
        if self._remote.fedi_safety:
            found.append(StandIn(fedi_safety_policy(), self._popped_examiner, suffices=True))
        if self._stand_in is not None:
            found.append(StandIn(self._stand_in, examiner_of(self._stand_in.labels)))
        return found

    def bodies_of(self, labels: tuple[str, ...]) -> RemoteBodies | None:
        """The workers that take bodies, for labels that workers score; None where views alone are sent."""
        if self._remote.sends != "bodies" or labels not in self._sets:
            return None
        return RemoteBodies(self.fleet, self._sets.index(labels), self._trust.examined)

    def open_scorers(self) -> Scorers:
        """The scorers over the fleet, and those of the fallback. Blocks until these are warm.

        Raises:
            ModelError: a model of the fallback cannot be had.
        """
        scorers = with_fallback(
            self._settings, self._policies[0], self.scorers, self._sets, self._is_anybody_there, self._heads
        )
        if isinstance(scorers, ScorersWithFallback):
            self._trust.compare_with([scorers.own_of(labels) for labels in self._sets] if self.scores_alone else ())
        return scorers

    @contextlib.asynccontextmanager
    async def taking_workers(self, sockets: Sequence[socket.socket], preprocessor: Preprocessor) -> AsyncIterator[None]:
        """Workers connect to ``sockets`` for as long as the block; at its end they are told to come back.

        ``preprocessor`` looks at what the workers of fedi-safety get.
        """
        self._popped_examiner.started(preprocessor)
        self._trust.decode_with(preprocessor)
        stop = asyncio.Event()
        listening = serving_beside(
            "worker", worker_app(self._door, self._routes), ANSWER_WITHIN_S, sockets, stop, DRAIN_S, has_websockets=True
        )
        async with listening, self._watching():
            yield

    def _is_anybody_there(self) -> bool:
        return any(member.is_usable for member in self.fleet.members)

    def _has_stand_in(self) -> bool:
        return self._standing_in() is not StandingIn.NOBODY

    def _standing_in(self) -> StandingIn:
        if self._popped.is_anybody_there:
            return StandingIn.FEDI_SAFETY
        return StandingIn.NOBODY if self._remote.fallback == "none" else StandingIn.SERVICE

    def _switched(self, is_away: bool) -> None:
        self.record.switched(is_away)
        self._tell()

    def _tell(self) -> None:
        """Say who looks at uploads, if that is not what was said last."""
        standing_in = self._standing_in() if self.absence.is_away else None
        if standing_in is self._told:
            return
        self._told = standing_in
        if standing_in is None:
            logger.info("workers_back", "a worker is there again, and scores from now on")
            return
        has_others = standing_in is StandingIn.FEDI_SAFETY
        what = what_happens(self._remote.fallback, self._settings.on_unscanned, has_others=has_others)
        logger.error("workers_absent", f"no worker is there: {what}", standing_in=standing_in.value)

    @contextlib.asynccontextmanager
    async def taking_workers_of_node(self) -> AsyncIterator[None]:
        """As :meth:`taking_workers`, at the address of the settings, from when it is free."""
        remote = self._remote
        listener = Listener(
            "worker", "the workers' port", remote.host, remote.port, ANSWER_WITHIN_S, DRAIN_S, has_websockets=True
        )
        async with node_listening(worker_app(self._door), listener), self._watching():
            yield

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """Watch whether workers are there and can be trusted, for as long as the block; then send them away."""
        watching = self._watching_tasks = (
            asyncio.create_task(self.absence.run(), name="watching for workers"),
            asyncio.create_task(self.neglect.run(), name="watching for anybody"),
            asyncio.create_task(self.absence_of_popping.run(), name="watching for workers of fedi-safety"),
            asyncio.create_task(self._trust.run(), name="trust in workers"),
        )
        try:
            yield
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            self._watching_tasks = ()
            await self._door.close()
            await self.trust_record.close()
