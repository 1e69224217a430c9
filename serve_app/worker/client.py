"""A worker's side of one connection: it says what it has, takes what it is sent, and leaves in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from serve_app.domain import Clock, ConfigurationError, MalformedRequestError
from serve_app.domain.limits import MAX_DEADLINE_S
from serve_app.domain.storable_text import printable
from serve_app.logs import EventLogger
from serve_app.remote.frames import MAX_HEADER_BYTES, from_front, packed
from serve_app.remote.messages import (
    PROTOCOL,
    Accepted,
    BodyWork,
    Cancelled,
    FromFront,
    FromWorker,
    Hello,
    Leaving,
    Ping,
    Pong,
    Refusal,
    Refused,
    Wanted,
    Work,
)
from serve_app.worker.answering import Answering
from serve_app.worker.ports import ConnectionLostError, OpenedScorers, OpenScorers, Socket

logger = EventLogger(__name__)

MAX_FRAME_BYTES: Final = 256 * 448 * 448 * 3 + 2 * MAX_HEADER_BYTES
"""Of a front: the views of one picture, for the largest of models."""

SILENT_S: Final = 60.0
"""A front whose connection stands says something every 10 s."""

LEAVING_MARGIN_S: Final = 0.5
"""Beyond the deadline of a picture: its answer has a way to the front."""

# Of what a front says to people.
_TOLD_CHARACTERS = 500


class Client:
    """One connection of a worker."""

    def __init__(
        self,
        socket: Socket,
        open_scorers: OpenScorers,
        name: str,
        version: str,
        process: str,
        stop: asyncio.Event,
        on_accepted: Callable[[Accepted, OpenedScorers], None] = lambda accepted, scorers: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """For an open connection.

        Args:
            socket: the connection, which the caller closes.
            open_scorers: called once, with what the front wants; cancelled when the connection ends first.
            name: of this worker.
            version: of its Pictwarden.
            process: as :attr:`serve_app.remote.messages.Hello.process`.
            stop: has it leave.
            on_accepted: called once it is one of the front's.
            clock: in seconds.
        """
        self._socket = socket
        self._open_scorers = open_scorers
        self._name = name
        self._version = version
        self._process = process
        self._stop = stop
        self._on_accepted = on_accepted
        self._clock = clock
        self._wanted: Wanted | None = None
        self._deadline_s = MAX_DEADLINE_S
        self._offered: OpenedScorers | None = None
        self._answering: Answering | None = None  # once accepted
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Refused | None:
        """Work until the connection ends; None once ``stop`` is set and all that was taken is answered, or is late.

        Returns:
            Why one side refuses the other, in words for the owner of the worker.

        Raises:
            ConnectionLostError: the connection broke, or the front says what it may not.
        """
        self._begin(self._read(), "reading")
        self._begin(self._leave_on_stop(), "leaving")
        try:
            return await self._ended
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._ended.done():
            self._ended.set_exception(error)

    def _end(self, refused: Refused | None) -> None:
        if not self._ended.done():
            self._ended.set_result(refused)

    async def _send(self, message: FromWorker) -> None:
        await self._socket.send(packed(message))

    async def _read(self) -> None:
        while not self._ended.done():
            frame = await self._next_frame()
            arrived_s = self._clock()
            try:
                message = from_front(frame)
            except MalformedRequestError as error:
                if self._wanted is None:
                    await self._refuse(Refusal.PROTOCOL, self._unreadable(error), self._unreadable(error))
                    return
                raise ConnectionLostError(f"the front sent a message that cannot be read ({error})") from error
            await self._take(message, len(frame), arrived_s)

    async def _next_frame(self) -> bytes:
        try:
            async with asyncio.timeout(SILENT_S):
                return await self._socket.receive()
        except TimeoutError:
            raise ConnectionLostError(f"the front has said nothing for {SILENT_S:g} s") from None

    def _unreadable(self, error: MalformedRequestError) -> str:
        return (
            f"the first message of the front cannot be read by the worker, which is Pictwarden {self._version} and "
            f"speaks protocol {PROTOCOL} ({error}): install the same version of Pictwarden on both machines"
        )

    async def _take(self, message: FromFront, size_bytes: int, arrived_s: float) -> None:
        match message:
            case Ping(number):
                await self._send(Pong(number))
            case Refused(reason, text):
                self._end(Refused(reason, printable(text[:_TOLD_CHARACTERS])))
            case Wanted() if self._wanted is None:
                self._wanted, self._deadline_s = message, min(message.deadline_s, MAX_DEADLINE_S)
                self._begin(self._introduce(message), "opening")
            case Accepted() if self._offered is not None and self._answering is None:
                self._answering = Answering(self._offered, self._deadline_s, self._send, self._begin, self._clock)
                self._on_accepted(message, self._offered)
            case Work() | BodyWork() if self._answering is not None and not self._answering.has(message.number):
                await self._answering.take(message, size_bytes, arrived_s)
            case Cancelled(number) if self._answering is not None:
                self._answering.cancel(number)
            case _:
                raise ConnectionLostError(f"the front sent {type(message).__name__} out of turn")

    async def _introduce(self, wanted: Wanted) -> None:
        """Load what is wanted, and say what there is; or refuse."""
        if wanted.protocol != PROTOCOL:
            behind = "worker" if wanted.protocol > PROTOCOL else "front"
            of_front = printable(wanted.version[:_TOLD_CHARACTERS])
            text = (
                f"the front is Pictwarden {of_front} and speaks protocol {wanted.protocol}, the worker is "
                f"Pictwarden {self._version} and speaks protocol {PROTOCOL}: upgrade the {behind}"
            )
            await self._refuse(Refusal.PROTOCOL, text, text)
            return
        try:
            scorers = await self._open_scorers(wanted)
        except ConfigurationError as error:
            # It may name folders of the owner's, which are no business of the front's.
            told = f"the worker cannot open the models that are wanted (prompts: {wanted.model}): its own log says why"
            await self._refuse(Refusal.MODEL, told, str(error))
            return
        self._offered = scorers
        has = (scorers.device, scorers.offers, scorers.decoders)
        await self._send(Hello(PROTOCOL, self._version, self._name, *has, self._process))

    async def _refuse(self, reason: Refusal, told: str, why: str) -> None:
        """Refuse the front, which is ``told`` so; the owner of the worker learns ``why``."""
        await self._send(Refused(reason, told))
        self._end(Refused(reason, why))

    async def _leave_on_stop(self) -> None:
        await self._stop.wait()
        if self._answering is not None:
            self._answering.take_no_more()
            try:
                async with asyncio.timeout(self._deadline_s + LEAVING_MARGIN_S):
                    await self._send(Leaving())
                    await self._answering.wait_until_all_are_answered()
            except TimeoutError:
                left = len(self._answering)
                logger.warning("works_abandoned", f"left with {left} pictures unanswered: they are late", pictures=left)
        self._end(None)
