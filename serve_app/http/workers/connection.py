"""The connection of one worker that has shown a secret: what it says first, and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.domain import MalformedRequestError
from serve_app.http.workers.bounds import MOST_TEXT, require_few, require_short, require_small
from serve_app.http.workers.line import WorkerLine
from serve_app.http.workers.websocket import MOST_FRAME_BYTES
from serve_app.logs import EventLogger
from serve_app.remote.fleet import Line, Member, RefusedError
from serve_app.remote.frames import from_worker
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    Hello,
    Ping,
    Pong,
    Refusal,
    Refused,
    Wanted,
)

logger = EventLogger(__name__)

_NORMAL, _TOO_LARGE = 1000, 1009

# Of the reason in a frame that closes (RFC 6455, 5.5).
_MOST_REASON_BYTES: Final = 123


@dataclass(frozen=True, slots=True)
class ConnectionTimes:
    """Seconds of a connection."""

    hello_s: float = 15 * 60.0
    """From the start until the worker has said what it has: it may have to fetch a model first."""
    ping_every_s: float = 10.0
    """Until then: proxies cut a connection that is still."""
    silent_s: float = 60.0
    """Until then, without any message: the worker is not there any more."""
    look_every_s: float = 1.0
    """A secret that was taken away closes its connections within this."""
    farewell_s: float = 2.0
    """For the last message to be written, and then for the end to be."""
    leaving_s: float = 2.0
    """Beyond the deadline of a picture, for one that has said that it leaves: all is answered by then."""


DEFAULT_TIMES: Final = ConnectionTimes()


class Door(Protocol):
    """What a connection asks."""

    @property
    def wanted(self) -> Wanted:
        """What a worker is told first."""
        ...

    @property
    def times(self) -> ConnectionTimes:
        """Of a connection."""
        ...

    async def require_place(self, owner: str) -> None:
        """Return if a worker of this owner would be taken; raises RefusedError if not."""
        ...

    def has_line(self) -> bool:
        """Whether a worker that was not taken has a line of its own in the log."""
        ...

    def permits(self, websocket: WebSocket) -> bool:
        """Whether the secret of a connection still counts."""
        ...

    def join(self, hello: Hello, line: Line, owner: str) -> Member:
        """Take a worker into the fleet; raises RefusedError if it is not taken."""
        ...

    def note_refused(self, refused: Refused) -> None:
        """A worker was not taken."""
        ...

    def dismiss(self, member: Member, refused: Refused) -> None:
        """Send a member away."""
        ...


class WorkerConnection:
    """One worker that has shown a secret."""

    def __init__(self, door: Door, websocket: WebSocket, owner: str) -> None:
        """``websocket`` is accepted."""
        self._door = door
        self._websocket = websocket
        self.owner = owner
        self._line = WorkerLine(websocket)
        self._member: Member | None = None
        self._clock = asyncio.get_running_loop().time
        self._heard_s = self._clock()
        self._received_messages = 0

    async def run(self) -> None:
        """Until either side has enough, or the connection is lost."""
        try:
            # Before it loads its models, which takes minutes.
            await self._door.require_place(self.owner)
            self._line.send(self._door.wanted)
        except RefusedError as error:
            self._line.close(error.refused)
        writing = asyncio.create_task(self._line.write(), name="writing to a worker")
        others = [
            asyncio.create_task(self._read(), name="reading from a worker"),
            asyncio.create_task(self._look_after(), name="looking after a worker"),
        ]
        why = "the front stops"
        try:
            done, _ = await asyncio.wait([writing, *others], return_when=asyncio.FIRST_COMPLETED)
            why = next(iter(done)).result()
        finally:
            for task in others:
                task.cancel()
            self._end(why)
            await self._say_farewell(writing, why)

    def refuse(self, refused: Refused) -> str:
        """Have the worker told why, and the connection end: why, in words."""
        if self._member is None:
            self._line.close(refused)
        else:
            self._door.dismiss(self._member, refused)
        return refused.message

    def _end(self, why: str) -> None:
        member, refused = self._member, self._line.refused
        told = refused.message if refused is not None else why
        if member is None:
            text = f"a worker of {self.owner} was not taken: {told}"
            if self._door.has_line():
                logger.warning("worker_not_taken", text, owner=self.owner, why=told)
            if refused is not None:
                self._door.note_refused(refused)
            self._line.close()
        else:
            if member.is_leaving and refused is None:
                told = "it was stopped"
            if not member.has_ended:
                member.lost(why)
            elif refused is None and not member.is_leaving:
                told = member.why_ended or told
            logger.warning("worker_left", f"worker {member.name} has left: {told}", worker=member.name, why=told)

    async def _say_farewell(self, writing: asyncio.Task[str], why: str) -> None:
        farewell_s = self._door.times.farewell_s
        await asyncio.wait([writing], timeout=farewell_s)
        writing.cancel()
        reason = why.encode()[:_MOST_REASON_BYTES].decode(errors="ignore")
        # Mostly it is closed already, for one reason or another.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
            async with asyncio.timeout(farewell_s):
                await self._websocket.close(_NORMAL, reason)

    async def _read(self) -> str:
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                if event.get("code") == _TOO_LARGE:
                    return f"it sent a message of more than {MOST_FRAME_BYTES} bytes"
                return f"the connection has ended ({event.get('code')} {event.get('reason') or ''})".replace(" )", ")")
            self._heard_s = self._clock()
            self._received_messages += 1
            try:
                require_few(self._received_messages, self._line.written_messages)
                if (why := self._take(event.get("bytes"))) is not None:
                    return why
            except MalformedRequestError as error:
                return self.refuse(self._unreadable(error))
            except RefusedError as error:
                return self.refuse(error.refused)

    def _take(self, frame: bytes | None) -> str | None:
        """Do what a frame says; why the connection ends, if it does."""
        if frame is None:
            raise MalformedRequestError("a text, where messages are binary")
        message = from_worker(frame)
        match message:
            case Refused():
                return f"it refuses: {message.message[:MOST_TEXT]}"
            case Hello() if self._member is None:
                require_small(message, len(frame))
                self._join(message)
            case Pong() if self._member is None:
                pass
            case _ if self._member is None or isinstance(message, Hello):
                raise MalformedRequestError(f"{type(message).__name__} out of turn")
            case _:
                require_short(message)
                self._member.received(message)
        return None

    def _join(self, hello: Hello) -> None:
        self._member = member = self._door.join(hello, self._line, self.owner)
        self._line.send(Accepted(member.name))
        models = [str(offer.model) for offer in hello.offers]
        text = f"worker {member.name} has joined: {hello.device}, Pictwarden {hello.version}, {', '.join(models)}"
        logger.info(
            "worker_joined", text, worker=member.name, device=hello.device, version=hello.version, models=models
        )

    def _unreadable(self, error: MalformedRequestError) -> Refused:
        if self._member is None:
            text = (
                f"the front, which is Pictwarden {self._door.wanted.version} and speaks protocol {PROTOCOL}, cannot "
                f"read the worker ({error}): install the same version of Pictwarden on both machines"
            )
            return Refused(Refusal.PROTOCOL, text)
        return Refused(Refusal.DISTRUSTED, f"the worker sent what the front cannot read ({error}): upgrade the worker")

    async def _look_after(self) -> str:
        """Until there is a reason to end the connection, which the fleet does not know."""
        times = self._door.times
        began_s = pinged_s = self._clock()
        number = 0
        leaving_since_s: float | None = None
        while True:
            await asyncio.sleep(times.look_every_s)
            if not self._door.permits(self._websocket):
                text = "the secret of this worker does not count any more: ask the owner of the front for another one"
                return self.refuse(Refused(Refusal.REVOKED, text))
            now_s = self._clock()
            if self._member is not None:
                if leaving_since_s is None:
                    leaving_since_s = now_s if self._member.is_leaving else None
                elif now_s - leaving_since_s > self._door.wanted.deadline_s + times.leaving_s:
                    return "it said that it leaves, and stayed"
                continue
            if now_s - began_s > times.hello_s:
                return f"it has not said what it has for {times.hello_s:.0f} s"
            if now_s - self._heard_s > max(times.silent_s, 2 * times.ping_every_s):
                return f"silent for {now_s - self._heard_s:.0f} s"
            if now_s - pinged_s >= times.ping_every_s:
                pinged_s, number = now_s, number + 1
                self._line.send(Ping(number))
