"""The worker processes, of which each is asked by one caller at a time, and replaced when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from serve_app.domain import Call, UnavailableError
from serve_app.logs import EventLogger
from serve_app.media.workers.lane_queue import LaneQueue
from serve_app.media.workers.worker_process import WorkerProcess

logger = EventLogger(__name__)

_T = TypeVar("_T")


class WorkerPool:
    """For one event loop; close it after use."""

    def __init__(self, setup: bytes, count: int) -> None:
        """Start ``count`` workers that run what ``setup`` says, and wait until they are ready."""
        self._setup = setup
        self._idle: LaneQueue[WorkerProcess] = LaneQueue()
        self._asked: set[WorkerProcess] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._failed_starts = 0
        self._lost = 0
        self._closed = False
        self._workers = {WorkerProcess(setup) for _ in range(count)}
        try:
            are_confined = [worker.wait_ready() for worker in self._workers]
            for worker in self._workers:
                self._idle.put(worker)
        except BaseException:
            self.close()
            raise
        if not all(are_confined):
            logger.warning(
                "decoders_unconfined",
                "a decoder that is taken over by a picture can read the files of this user, secrets and ledger among "
                "them: this kernel has no Landlock (Linux 5.13), or a container's filter of system calls withholds it",
            )

    @property
    def is_closed(self) -> bool:
        """Whether decoding has ended."""
        return self._closed

    def close(self) -> None:
        """Kill all workers. Who waits for one is told that decoding has ended."""
        self._closed = True
        self._idle.close()
        workers = tuple(self._workers)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()
            if worker not in self._asked:  # the others' callers see the end of the channel, and close it
                worker.close_channel()

    @property
    def lost(self) -> int:
        """Workers that died, or were killed with a picture, since the start."""
        return self._lost

    def pids(self) -> set[int]:
        """The processes that are there now."""
        return {worker.pid for worker in tuple(self._workers) if worker.is_alive}

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: no worker is there, and none can be started.
        """
        if self._closed or (self._failed_starts and not self.pids()):
            raise UnavailableError("no decode worker can be started: see the log")

    async def take(self, call: Call) -> WorkerProcess:
        """Wait for a worker that is idle: the caller's until it is given back.

        Raises:
            UnavailableError: decoding has ended.
        """
        while (worker := await self._idle.get(call)) is not None:
            if worker.is_alive:
                self._asked.add(worker)
                return worker
            self._lost += 1
            self.run(self._replace(worker))
        raise UnavailableError("decoding has ended")

    def give_back(self, worker: WorkerProcess, comes_back: bool) -> None:
        """Nobody asks ``worker`` any more: it is idle again, or not of use, and replaced."""
        self._asked.discard(worker)
        if comes_back and not self._closed:
            self._idle.put(worker)
        else:
            self._lost += not self._closed
            worker.kill()
            self.run(self._replace(worker))

    async def _replace(self, dead: WorkerProcess) -> None:
        dead.close_channel()
        with contextlib.suppress(RuntimeError):  # no thread can be started: one of its own waits for it
            await asyncio.to_thread(dead.wait)
        self._workers.discard(dead)
        while not self._closed:
            try:
                worker = await asyncio.to_thread(self._start)
            except (OSError, RuntimeError, UnavailableError) as error:
                self._failed_starts += 1
                text = f"{error}; the {self._failed_starts}. time in a row"
                logger.error("decode_worker_not_started", text, why=str(error), failed_starts=self._failed_starts)
                await asyncio.sleep(min(self._failed_starts, 10))
            else:
                self._failed_starts = 0
                self._idle.put(worker)
                return

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._setup)
        self._workers.add(worker)
        if self._closed:
            worker.kill()
        try:
            worker.wait_ready()
        except UnavailableError:
            self._workers.discard(worker)
            raise
        return worker

    def run(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Work that goes on when its caller goes away."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not complain when the caller has gone
