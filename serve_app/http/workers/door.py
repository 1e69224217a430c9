"""Where workers come in: who may, what they have to say first, and when a connection ends.

A secret is checked before the connection becomes a WebSocket, so that a stranger costs what a refused request costs.
From then on everything that a worker sends is bounded in size and in time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from serve_app.domain import UnauthorisedError
from serve_app.http.guard import Guard
from serve_app.http.strangers import Strangers
from serve_app.http.workers.connection import DEFAULT_TIMES, ConnectionTimes, WorkerConnection
from serve_app.logs import EventLogger
from serve_app.remote.fleet import Fleet, Line, Member, RefusedError
from serve_app.remote.fleet.places import why_no_place
from serve_app.remote.messages import Hello, Refusal, Refused, Wanted
from serve_app.remote.requirements import Requirement
from serve_app.wire import WORKER_PATH

logger = EventLogger(__name__)

ANSWER_WITHIN_S: Final = 10.0
"""For a request that becomes no WebSocket."""

DRAIN_S: Final = 3.0
"""At the end: workers are told to come back, and close."""

_LOOK_S: Final = 0.05


class Refusals(Protocol):
    """Counts workers that are not taken."""

    def refused(self, reason: Refusal) -> None:
        """One had a right secret."""
        ...

    def stranger_refused(self) -> None:
        """One had none."""
        ...


def _tell_not_taken(workers: int) -> None:
    logger.warning("workers_not_taken", f"{workers} more workers before it were not taken", workers=workers)


class WorkerDoor:
    """Takes workers into a fleet."""

    def __init__(
        self,
        guard: Guard,
        fleet: Fleet,
        wanted: Wanted,
        require: Requirement = lambda hello: None,
        max_workers: int = 16,
        times: ConnectionTimes = DEFAULT_TIMES,
        *,
        record: Refusals | None = None,
        require_welcome: Callable[[str, str | None], None] = lambda owner, name: None,
    ) -> None:
        """A door without connections.

        Args:
            guard: knows the secrets of workers.
            fleet: that they join.
            wanted: what they are told first.
            require: checks their models.
            max_workers: of the fleet; twice as many may be connected, since some are loading or lost. Of either, one
                is kept for each owner who has none.
            times: of a connection.
            record: counts who is not taken.
            require_welcome: checks an owner, and the worker's name once it is known; raises RefusedError.
        """
        self._record = record
        self._require_welcome = require_welcome
        self.wanted = wanted
        self.times = times
        self._guard = guard
        self._fleet = fleet
        self._require = require
        self._max_workers = max_workers
        self._strangers = Strangers()
        self._not_taken = Strangers(tell=_tell_not_taken)
        self._is_closing = False
        self._changed = asyncio.Event()
        self._connections: set[WorkerConnection] = set()

    async def answer(self, websocket: WebSocket) -> None:
        """One connection, to its end."""
        try:
            owner = self._guard.require_worker(websocket.headers.get("authorization"))
        except UnauthorisedError as error:
            if self._record is not None:
                self._record.stranger_refused()
            if self._strangers.has_line():
                logger.info("worker_unauthorised", f"a worker was refused: {error}")
            refusal = PlainTextResponse(f"{error}\n", 401, {"WWW-Authenticate": "Bearer"})
            await websocket.send_denial_response(refusal)
            return
        if self._is_closing:
            await websocket.send_denial_response(PlainTextResponse("the front stops\n", 503))
            return
        if (why := self._why_not_connect(owner)) is not None:
            self.note_refused(Refused(Refusal.FULL, why))
            if self.has_line():
                text = f"a worker of {owner} was not taken: {why}"
                logger.warning("worker_not_taken", text, owner=owner, why=why)
            await websocket.send_denial_response(PlainTextResponse(f"{why}\n", 429))
            return
        connection = WorkerConnection(self, websocket, owner)
        self._connections.add(connection)
        try:
            await websocket.accept()
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._changed.set()

    def _why_not_connect(self, owner: str) -> str | None:
        connected = Counter(each.owner for each in self._connections)
        why = why_no_place(owner, connected, self._guard.worker_owners, 2 * self._max_workers)
        return None if why is None else f"too many connections: {why}"

    async def require_place(self, owner: str) -> None:
        """Return if a worker of this owner would be taken, whatever it has.

        Where there is no place, those that the owner has are asked whether they are still there: the connection of one
        may have broken, and it may be the one that comes.

        Raises:
            RefusedError: one was sent away recently, or there are enough.
        """
        self._require_welcome(owner, None)
        try:
            self._require_room(owner)
        except RefusedError:
            if await self._silent_one_of(owner) is None:
                raise

    async def _silent_one_of(self, owner: str) -> Member | None:
        """One of the owner's workers that does not answer any more."""
        own = [member for member in self._fleet.members if member.owner == owner]
        for member in own:
            member.ping()
        while True:
            there = [member for member in own if not member.has_ended]
            silent = next((member for member in there if member.is_silent), None)
            if silent is not None or all(member.owes_s <= 0 for member in there):
                return silent
            await asyncio.sleep(_LOOK_S)

    def _require_room(self, owner: str) -> None:
        taken = Counter(member.owner for member in self._fleet.members if not member.is_leaving)
        why = why_no_place(owner, taken, self._guard.worker_owners, self._max_workers)
        if why is not None:
            text = f"{why}: stop another worker, or have remote.max_workers of the front set higher"
            raise RefusedError(Refused(Refusal.FULL, text))

    def has_line(self) -> bool:
        """Count a worker that was not taken; whether it has a line of its own in the log."""
        return self._not_taken.has_line()

    def permits(self, websocket: WebSocket) -> bool:
        """Whether the secret of a connection still counts."""
        try:
            self._guard.require_worker(websocket.headers.get("authorization"))
        except UnauthorisedError:
            return False
        return True

    def join(self, hello: Hello, line: Line, owner: str) -> Member:
        """Take a worker into the fleet.

        Raises:
            RefusedError: it is not taken.
        """
        self._fleet.end_former(hello, owner)
        self._require_welcome(owner, hello.name)
        try:
            self._require_room(owner)
        except RefusedError:
            own = (member for member in self._fleet.members if member.owner == owner)
            silent = next((member for member in own if member.is_silent), None)
            if silent is None:
                raise
            silent.lost("it is silent, and another worker of its owner takes its place")
        self._require(hello)
        return self._fleet.join(hello, line, owner)

    def note_refused(self, refused: Refused) -> None:
        """A worker was not taken."""
        if self._record is not None:
            self._record.refused(refused.reason)

    def dismiss(self, member: Member, refused: Refused) -> None:
        """Send a member away."""
        self._fleet.dismiss(member, refused)

    async def close(self) -> None:
        """Take no more workers, tell all to come back to the next front, and wait a moment until they have heard it."""
        self._is_closing = True
        for connection in tuple(self._connections):
            connection.refuse(Refused(Refusal.STOPPING, "the front stops: the worker tries again by itself"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.times.farewell_s):
                while self._connections:
                    self._changed.clear()
                    await self._changed.wait()


def worker_app(door: WorkerDoor, others: Sequence[Route] = ()) -> Starlette:
    """The application of the workers' listener; ``others`` are routes of other protocols."""

    async def explain(_: Request) -> Response:
        text = "a worker connects here by WebSocket: have your reverse proxy pass Upgrade and Connection on"
        return PlainTextResponse(f"{text}\n", 426, {"Upgrade": "websocket", "Connection": "Upgrade"})

    return Starlette(routes=[WebSocketRoute(WORKER_PATH, door.answer), Route(WORKER_PATH, explain), *others])
