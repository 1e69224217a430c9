"""The owner's end of one decode worker: start it, ask it, kill it. Inside runs :mod:`serve_app.media.worker_main`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serve_app.domain import Call, Lane, OnTruncated, UnavailableError, UnscannedError, Views
from serve_app.logs import EventLogger
from serve_app.media.worker_messages import (
    ANSWERED,
    CONFINED,
    GO_ON_BYTES,
    MAX_HEAD_BYTES,
    ORDER,
    OUT_OF_TIME,
    READY,
    REPLY,
    REQUEST,
    SETUP,
    unpack_error,
    unpack_replies,
    unpack_views,
)

logger = EventLogger(__name__)

_START_TIMEOUT_S = 60.0

# As much as Linux gives by default. The fewer calls a body takes through the socket, the sooner it is there.
_SEND_BUFFER_BYTES = 212_992

# What is received at first, so that the answer of an ordinary picture (one view of 224 px) comes in one call.
_FIRST_BYTES = 262_144

# One worker is one core: the pools that numpy's libraries start would take memory and other workers' cores.
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Which instructions the libraries under NumPy may use, where an admin does not leave that to them: the owner's own
# products of matrices have the same last bits then.
_INSTRUCTIONS = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")

# Nothing else of the environment goes to where hostile bytes are decoded: the service's secrets are in it.
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR", *_INSTRUCTIONS)


# On Linux, with the inverted process id before it, the clock of a process (clock_getcpuclockid(3)). Every picture asks
# for it, and a file of /proc takes many times as long.
_CPUCLOCK_SCHED = 2


class WorkerLostError(Exception):
    """A worker died under a decode, or answered what no worker in its right mind does."""


@dataclass(frozen=True, slots=True)
class AskedBody:
    """One body for a worker, and what is wanted of it."""

    content: bytes
    view_size_px: int
    with_faces: bool
    call: Call


class WorkerProcess:
    """The owner's end of one process."""

    def __init__(self, setup: bytes) -> None:
        """Begins to start it: it can be asked after :meth:`wait_ready`. ``setup`` is what ``SETUP`` announces."""
        self._setup = setup
        self._received = bytearray(_FIRST_BYTES)
        self._channel, theirs = socket.socketpair()
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        # A fresh interpreter and no fork: the replica has threads, and its main module is Ray's.
        start = f"from serve_app.media.worker_main import main; main({theirs.fileno()})"
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | _THREADS
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-P", "-c", start],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,  # a hang-up of the owner's terminal, or Ctrl-C there, is not for it
            )
        # Otherwise a process that ends while nobody asks it stays a zombie until somebody does.
        try:
            threading.Thread(target=self._process.wait, name="decode worker's end", daemon=True).start()
        except RuntimeError:  # no more of them can be
            self.kill()
            self.wait()
            self.close_channel()
            raise

    @property
    def pid(self) -> int:
        """Of the process, which may have ended."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is there: one that has ended hangs up before anybody can see that it has."""
        if self._channel.fileno() < 0:
            return False
        hang_up = select.poll()
        hang_up.register(self._channel, 0)  # which is told of without being asked for
        return not hang_up.poll(0)

    def wait_ready(self) -> bool:
        """Block until all is imported.

        Returns:
            Whether the process is confined (:mod:`serve_app.media.confinement`).

        Raises:
            UnavailableError: it ended instead, or takes more than a minute.
        """
        try:
            self._channel.settimeout(_START_TIMEOUT_S)
            self._channel.sendall(SETUP.pack(len(self._setup)) + self._setup)
            said = self._channel.recv(len(READY))
        except OSError:
            said = b""
        if said not in (READY, CONFINED):
            self.kill()
            self.wait()
            self.close_channel()
            raise UnavailableError(f"a decode worker did not start; it ended with {self._process.returncode}")
        self._channel.setblocking(False)
        return said == CONFINED

    async def ask(
        self, bodies: Sequence[AskedBody], on_truncated: Mapping[Lane, OnTruncated], max_pixels_bytes: int
    ) -> list[Views | UnscannedError]:
        """Of each body the views, or the error of the domain that came instead.

        Of several, at least one is answered; the worker has not begun those that are left out. Cancelled, it leaves a
        worker that is still at it, and of no more use.

        Raises:
            WorkerLostError: it died, or its answer is none.
        """
        try:
            heads = [
                REQUEST.pack(
                    len(each.content),
                    each.view_size_px,
                    each.call.deadline.remaining_s(),
                    on_truncated[each.call.lane] is OnTruncated.SCAN,
                    each.with_faces,
                )
                for each in bodies
            ]
            order = ORDER.pack(len(bodies), sum(len(each.content) for each in bodies))
            await self._send(b"".join((order, *heads)), [each.content for each in bodies])
            replies = await self._receive(len(bodies), max_pixels_bytes)
            return [_answer(*each, body) for each, body in zip(replies, bodies, strict=False)]
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            raise WorkerLostError from error

    async def _send(self, head: bytes, bodies: Sequence[bytes]) -> None:
        """All at once, as far as the socket takes them: a head alone would wake the worker to wait for the rest."""
        try:
            sent = self._channel.sendmsg((head, *bodies))
        except BlockingIOError:
            sent = 0
        loop = asyncio.get_running_loop()
        for part in (head, *bodies):
            if sent < len(part):
                await loop.sock_sendall(self._channel, memoryview(part)[sent:])
            sent = max(0, sent - len(part))

    async def _receive(self, most: int, max_pixels_bytes: int) -> list[tuple[memoryview, memoryview]]:
        """The two parts of each reply; their memory is of this answer alone.

        Raises:
            EOFError: the worker ended.
            ValueError: more than any answer, or less.
        """
        count = await self._receive_into(memoryview(self._received), ANSWERED.size)
        replies, replies_bytes = ANSWERED.unpack_from(self._received)
        # Of several, the last one that is begun comes to what the others have.
        most_bytes = most * (REPLY.size + MAX_HEAD_BYTES) + max_pixels_bytes + (GO_ON_BYTES if most > 1 else 0)
        if not 0 < replies <= most or replies_bytes > most_bytes:
            raise ValueError("an answer larger than any")
        answer = memoryview(bytearray(ANSWERED.size + replies_bytes))
        answer[:count] = memoryview(self._received)[:count]
        await self._receive_into(answer[count:], len(answer) - count)
        return unpack_replies(answer[ANSWERED.size :], replies)

    async def _receive_into(self, buffer: memoryview, at_least: int) -> int:
        """How many bytes came: ``at_least`` so many."""
        loop = asyncio.get_running_loop()
        received = 0
        while received < at_least:
            count = await loop.sock_recv_into(self._channel, buffer[received:])
            if not count:
                raise EOFError
            received += count
        return received

    def cpu_s(self) -> float:
        """Seconds of CPU time that the process has used; 0 where the system does not tell."""
        try:
            return time.clock_gettime(~self.pid << 3 | _CPUCLOCK_SCHED)
        except OSError:
            return 0.0

    def kill(self) -> None:
        """Returns at once; :meth:`wait` for the end."""
        self._process.kill()

    def ran_out_of_time(self) -> bool:
        """Whether that is how it ended; blocks until it has."""
        self.kill()  # changes nothing where it is dead
        return self._process.wait() == -OUT_OF_TIME

    def wait(self) -> None:
        """Block until a killed worker is gone, and let go of it."""
        self._process.wait()
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()

    def close_channel(self) -> None:
        """Not while it is asked: an event loop must not lose what it waits for."""
        self._channel.close()


def _answer(head: memoryview, pixels: memoryview, body: AskedBody) -> Views | UnscannedError:
    told = unpack_error(head)
    if told is None:
        return unpack_views(head, pixels, body.view_size_px)
    failure, cause = told
    if cause:
        logger.error("decoding_failed", f"decoding failed: {cause}", request_id=body.call.request_id, why=cause)
    return failure
