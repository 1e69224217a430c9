"""Decoding in processes that can be killed: a decode that hangs, bloats or crashes costs one process.

Each worker is asked over a socket of its own (:mod:`serve_app.media.worker`), so that the death of one can leave no
lock held and no half message in anybody else's way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from serve_app.domain import Deadline, DeadlineExceededError, UnavailableError, UndecodableError, UnscannedError, Views
from serve_app.media.hostile import STRIKES, HostileBytes
from serve_app.media.limits import MediaLimits
from serve_app.media.preprocess import preprocess
from serve_app.media.worker import READY, REPLY, REQUEST, SETUP, Decode, unpack_error, unpack_views

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# A new worker costs 0.2 s of a core. A decode that nobody waits for any more is left to end within about that; killing
# it at once would turn a moment of overload into a storm of starting workers.
_UNWANTED_S = 0.25

_START_TIMEOUT_S = 60.0

# As much as Linux gives by default. The fewer the turns that a body takes through the socket, the sooner it is there.
_SEND_BUFFER_BYTES = 212_992

_MAX_HEAD_BYTES = 1_000_000

# One worker is one core: the pools that numpy's libraries start would take memory and other workers' cores.
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Nothing else of the environment goes to where hostile bytes are decoded: the service's secrets are in it.
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR")


class DecodeWorkers:
    """:class:`serve_app.domain.Preprocessor` over worker processes, warm when constructed; close it after use."""

    def __init__(self, limits: MediaLimits, count: int, decode: Decode = preprocess) -> None:
        """``count``: pictures decoded at once; as many as there are cores for it."""
        self._limits = limits
        self._setup = pickle.dumps((decode, limits))
        self._hostile = HostileBytes()
        self._idle: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()  # None: closed, to whoever waits
        self._asked: set[_Worker] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._failed_starts = 0
        self._closed = False
        self._workers = {_Worker(self._setup) for _ in range(count)}
        try:
            for worker in self._workers:
                worker.wait_ready()
                self._idle.put_nowait(worker)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all workers. Who waits for one is answered that decoding is not there."""
        self._closed = True
        self._idle.put_nowait(None)
        workers = tuple(self._workers)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()
            if worker not in self._asked:  # the others' callers see the end of the channel, and close it
                worker.close_channel()

    def pids(self) -> set[int]:
        """The processes that are there now."""
        return {worker.pid for worker in tuple(self._workers) if worker.is_alive}

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: no worker is there, and none can be started.
        """
        if self._closed or (self._failed_starts and not self.pids()):
            raise UnavailableError("there are no decode workers, and none can be started")

    async def preprocess(self, body: bytes, view_size_px: int, deadline: Deadline) -> Views:
        """See the port. A caller that goes away leaves a decode that ends, or is killed, soon after.

        Raises:
            UndecodableError: also for bytes that take longer than ``max_decode_s``, or that killed two workers.
            TooLargeError: also for bytes that need more memory than ``max_decode_memory_bytes``.
            UnavailableError: closed, or our own mistake.
        """
        for _ in range(STRIKES):
            if body in self._hostile:
                break
            worker = await self._take_idle(deadline)
            decode = self._run(self._decode_on(worker, body, view_size_px, deadline))
            try:
                async with asyncio.timeout(deadline.remaining_s()):
                    return await asyncio.shield(decode)
            except TimeoutError as error:
                raise DeadlineExceededError("no time was left for decoding") from error
            except _WorkerLostError:
                logger.warning("a decode worker was lost with a picture of %d bytes", len(body))
                if self._closed:
                    raise UnavailableError("decoding has ended") from None
        raise UndecodableError("these bytes have killed the processes that decoded them")

    async def _take_idle(self, deadline: Deadline) -> _Worker:
        try:
            async with asyncio.timeout(deadline.require("decoding")):
                while not self._closed:
                    worker = await self._idle.get()
                    if worker is None:
                        self._idle.put_nowait(None)  # for the next who waits
                        break
                    if worker.is_alive:
                        self._asked.add(worker)
                        return worker
                    self._run(self._replace(worker))
        except TimeoutError as error:
            raise DeadlineExceededError("no decode worker became free in time") from error
        raise UnavailableError("decoding has ended")

    async def _decode_on(self, worker: _Worker, body: bytes, view_size_px: int, deadline: Deadline) -> Views:
        """Ask ``worker``, which is ours until this ends: then it is idle again, or dead and replaced."""
        remaining_s = deadline.remaining_s()
        is_ours_to_blame = remaining_s < self._limits.max_decode_s
        limit_s = min(self._limits.max_decode_s, remaining_s + _UNWANTED_S)
        comes_back = False
        try:
            async with asyncio.timeout(limit_s):
                answer = await worker.ask(body, view_size_px, remaining_s, self._limits.max_decode_memory_bytes)
            comes_back = True
        except TimeoutError as error:
            if is_ours_to_blame:
                raise DeadlineExceededError("no time was left for decoding") from error
            self._hostile.strike(body)
            raise UndecodableError("took longer than max_decode_s") from error
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            if not self._closed:
                self._hostile.strike(body)
            raise _WorkerLostError from error
        finally:
            self._give_back(worker, comes_back)
        self._hostile.clear(body)
        if isinstance(answer, UnscannedError):
            raise answer
        return answer

    def _give_back(self, worker: _Worker, comes_back: bool) -> None:
        self._asked.discard(worker)
        if comes_back and not self._closed:
            self._idle.put_nowait(worker)
        else:
            worker.kill()
            self._run(self._replace(worker))

    async def _replace(self, dead: _Worker) -> None:
        dead.close_channel()
        await asyncio.to_thread(dead.wait)
        self._workers.discard(dead)
        while not self._closed:
            try:
                worker = await asyncio.to_thread(self._start)
            except (OSError, UnavailableError):
                self._failed_starts += 1
                logger.exception("a decode worker did not start, %d in a row", self._failed_starts)
                await asyncio.sleep(min(self._failed_starts, 10))
            else:
                self._failed_starts = 0
                self._idle.put_nowait(worker)
                return

    def _start(self) -> _Worker:
        worker = _Worker(self._setup)
        self._workers.add(worker)
        if self._closed:
            worker.kill()
        try:
            worker.wait_ready()
        except UnavailableError:
            self._workers.discard(worker)
            raise
        return worker

    def _run(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Work that goes on when its caller goes away."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not complain when the caller has gone


class _WorkerLostError(Exception):
    """A worker died under a decode, or answered what no worker in its right mind does."""


class _Worker:
    """The owner's end of one process."""

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._channel, theirs = socket.socketpair()
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        # A fresh interpreter and no fork: the replica has threads, and its main module is Ray's.
        start = f"from serve_app.media.worker import main; main({theirs.fileno()})"
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | _THREADS
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", start],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=environment,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Block until all is imported.

        Raises:
            UnavailableError: it ended instead, or takes more than a minute.
        """
        try:
            self._channel.settimeout(_START_TIMEOUT_S)
            self._channel.sendall(SETUP.pack(len(self._setup)) + self._setup)
            is_ready = self._channel.recv(len(READY)) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            self.kill()
            self.wait()
            self.close_channel()
            raise UnavailableError(f"a decode worker did not start; it ended with {self._process.returncode}")
        self._channel.setblocking(False)

    async def ask(
        self, body: bytes, view_size_px: int, remaining_s: float, max_pixels_bytes: int
    ) -> Views | UnscannedError:
        """The views, or the error of the domain that came instead.

        Raises:
            EOFError, OSError: it died.
            ValueError, KeyError, TypeError: its answer is none.
        """
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._channel, REQUEST.pack(len(body), view_size_px, remaining_s))
        await loop.sock_sendall(self._channel, body)
        head_bytes, pixels_bytes = REPLY.unpack(await self._receive(REPLY.size))
        if head_bytes > _MAX_HEAD_BYTES or pixels_bytes > max_pixels_bytes:
            raise ValueError("an answer larger than any")
        head, pixels = await self._receive(head_bytes), await self._receive(pixels_bytes)
        if told := unpack_error(head):
            error, cause = told
            if cause:
                logger.error("decoding failed with %s", cause)
            return error
        return unpack_views(head, pixels, view_size_px)

    async def _receive(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        received = bytearray(size)
        left = memoryview(received)
        while left:
            count = await loop.sock_recv_into(self._channel, left)
            if not count:
                raise EOFError
            left = left[count:]
        return received

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        self._process.wait()
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()

    def close_channel(self) -> None:
        self._channel.close()
