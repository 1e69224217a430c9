"""A worker for simulations: the real batcher over a device and a network that take simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from serve_app.batching import Batcher, PassCosts
from serve_app.domain import (
    DIHEDRAL_HASHES,
    PDQ_BYTES,
    Call,
    Deadline,
    ModelIdentity,
    NotScannedError,
    ViewPlace,
    Views,
)
from serve_app.remote.fleet import Fleet, Member
from serve_app.remote.messages import (
    PROTOCOL,
    BodyWork,
    Cancelled,
    Examined,
    Failed,
    FromFront,
    Hello,
    Leaving,
    Offer,
    Ping,
    Pong,
    Refused,
    Scored,
    Work,
)

MODEL = ModelIdentity("simulated", "0" * 64, 224)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a worker computes with, and how it is connected.

    Attributes:
        pass_s: seconds of a pass by batch size.
        one_way_s: seconds of a byte on the network.
        bytes_per_s: towards the worker.
        decoders: bodies that it decodes at once, in no time; 0 takes views alone.
    """

    pass_s: Mapping[int, float] = field(default_factory=lambda: {1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024, 16: 0.040})
    one_way_s: float = 0.020
    bytes_per_s: float = 2.5e6
    decoders: int = 0


def views_of(value: int, count: int) -> Views:
    """Views of one picture, whose scores are all ``value``, 0 to 255; they take no memory."""
    side = MODEL.image_size_px
    pixels = np.broadcast_to(np.uint8(value), (count, side, side, 3))
    return Views(pixels, (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),) * count, "image/png", 1, 1)


class SimulatedWorker:
    """Implements :class:`serve_app.remote.fleet.ports.Line` from the front's side, and answers as a worker does."""

    def __init__(self, machine: Machine, labels: int = 1) -> None:
        """A worker of ``machine`` that is not connected yet."""
        self.machine = machine
        self.slowness = 1.0
        """Of its passes, against what it says of them."""
        self.is_cut = False
        """Whether what is sent either way is lost, unnoticed."""
        self.process = ""
        """As in its Hello."""
        self.refused: Refused | None = None
        self.is_closed = False
        self.works: list[Work] = []
        """All views that arrived."""
        self.bodies: list[BodyWork] = []
        """All bodies that did."""
        self._labels = labels
        self._loop = asyncio.get_running_loop()
        self._free_s = self._loop.time()
        self._member: Member | None = None
        self._running: dict[int, asyncio.Task[None]] = {}
        self._unpaused = asyncio.Event()
        self._unpaused.set()
        self._batcher: Batcher[int, float] = Batcher(
            self._run_pass, {None: PassCosts(machine.pass_s)}, 4096, clock=self._loop.time
        )

    def join(self, fleet: Fleet, name: str = "desktop", owner: str = "owner") -> Member:
        """Connect."""
        has = ("simulated", (Offer(MODEL, self.machine.pass_s),), self.machine.decoders)
        self._member = fleet.join(Hello(PROTOCOL, "1", name, *has, self.process), self, owner)
        return self._member

    @property
    def unsent_bytes(self) -> int:
        """See the port."""
        return int(max(0.0, self._free_s - self._loop.time()) * self.machine.bytes_per_s)

    def send(self, message: FromFront) -> None:
        """See the port."""
        size = 64
        if isinstance(message, Work):
            size += message.pixels.nbytes + message.faces.nbytes
        elif isinstance(message, BodyWork):
            size += message.content.nbytes
        self._free_s = max(self._free_s, self._loop.time()) + size / self.machine.bytes_per_s
        self._loop.call_at(self._free_s + self.machine.one_way_s, self._arrived, message)

    def close(self, refused: Refused | None = None) -> None:
        """See the port."""
        self.refused, self.is_closed = refused, True
        self.stop()

    def stop(self) -> None:
        """All that it computes ends; nobody is told."""
        for task in self._running.values():
            task.cancel()

    async def end(self) -> None:
        """After use."""
        self.stop()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._batcher.close()

    def lose(self, why: str = "connection reset") -> None:
        """The machine dies, and the front notices."""
        self.is_cut = True
        self.stop()
        if self._member is not None:
            self._member.lost(why)

    def pause(self) -> None:
        """The process stands still."""
        self._unpaused.clear()

    def go_on(self) -> None:
        """It runs again."""
        self._unpaused.set()

    def leave(self) -> None:
        """Say that it takes no more."""
        self._answer(Leaving())

    def _arrived(self, message: FromFront) -> None:
        if self.is_cut or self.is_closed:
            return
        if isinstance(message, Work | BodyWork):
            if isinstance(message, BodyWork):
                self.bodies.append(message)
            else:
                self.works.append(message)
            task = self._loop.create_task(self._score(message, self._loop.time()))
            self._running[message.number] = task
            task.add_done_callback(lambda _: self._running.pop(message.number, None))
        elif isinstance(message, Cancelled):
            if message.number in self._running:
                self._running[message.number].cancel()
        elif isinstance(message, Ping):
            if self._unpaused.is_set():
                self._answer(Pong(message.number))
            else:
                self._running[-message.number] = self._loop.create_task(self._pong_later(message.number))

    async def _pong_later(self, number: int) -> None:
        await self._unpaused.wait()
        self._answer(Pong(number))

    async def _score(self, work: Work | BodyWork, arrived_s: float) -> None:
        await self._unpaused.wait()
        deadline = Deadline(arrived_s + work.remaining_s, self._loop.time)
        call = Call(str(work.number), deadline, work.lane)
        # A pixel, or the first byte, is the score, so that it shows whose scores they are.
        items = [int(work.content[0])] if isinstance(work, BodyWork) else [int(view[0, 0, 0]) for view in work.pixels]
        try:
            values = await self._batcher.submit(items, call)
        except NotScannedError as error:
            self._answer(Failed(work.number, error.reason, str(error), self._loop.time() - arrived_s))
            return
        await self._unpaused.wait()
        rows = np.repeat(np.array(values, np.float32)[:, None], self._labels, axis=1)
        held_s = self._loop.time() - arrived_s
        if isinstance(work, BodyWork):
            self._answer(_examined(work.number, rows, held_s))
        else:
            self._answer(self.scored(work.number, rows, held_s))

    def scored(self, number: int, rows: np.ndarray, held_s: float) -> Scored | Failed:
        """What it answers: for a test to spoil."""
        return Scored(number, rows, 100.0, held_s)

    async def _run_pass(self, _kind: object, items: Sequence[int]) -> Sequence[float]:
        size = next((size for size in sorted(self.machine.pass_s) if size >= len(items)), max(self.machine.pass_s))
        await asyncio.sleep(self.machine.pass_s[size] * self.slowness)
        await self._unpaused.wait()
        return [float(item) for item in items]

    def _answer(self, message: Scored | Examined | Failed | Pong | Leaving) -> None:
        self._loop.call_later(self.machine.one_way_s, self._received, message)

    def _received(self, message: Scored | Examined | Failed | Pong | Leaving) -> None:
        if not self.is_cut and not self.is_closed and self._member is not None:
            self._member.received(message)


def _examined(number: int, rows: np.ndarray, held_s: float) -> Examined:
    places = (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),) * len(rows)
    no_hashes = np.empty((0, DIHEDRAL_HASHES * PDQ_BYTES), np.uint8)
    return Examined(number, rows, 100.0, held_s, 0.0, places, (), "image/png", 1, 1, False, (), no_hashes)
