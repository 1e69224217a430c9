"""Decoding in processes that can be killed: a decode that hangs, bloats or crashes costs one process.

Why this is not a pool from a library: docs/adr/0005-decoders-run-in-processes-that-can-be-killed.md.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from serve_app.domain import (
    Call,
    DeadlineExceededError,
    Lane,
    LoadSignals,
    OnTruncated,
    StalledError,
    UnavailableError,
    UndecodableError,
    UnscannedError,
    Views,
)
from serve_app.domain.limits import DECODE_SHARE, MediaLimits
from serve_app.logs import EventLogger
from serve_app.media.faces import Detector
from serve_app.media.preprocess import preprocess
from serve_app.media.worker_messages import Decode
from serve_app.media.workers.gathering import Gathered, Gathering, is_gathered
from serve_app.media.workers.hostile import STRIKES, HostileBytes
from serve_app.media.workers.pool import WorkerPool
from serve_app.media.workers.worker_process import AskedBody, WorkerLostError, WorkerProcess
from serve_app.stages import Stage, tell_stage, timed

logger = EventLogger(__name__)

# Weight of the newest decode in the running mean: pictures differ by a hundred times, so the mean is over many.
_NEWEST_WEIGHT = 0.05

# A new worker costs 0.2 s of a core. A decode that nobody waits for any more is left to end within about that; killing
# it at once would turn a moment of overload into a storm of starting workers.
_UNWANTED_S = 0.25

# A worker that has computed for less than this share of its time was kept waiting: on a busy machine it gets
# more than that.
_STALLED_SHARE = 0.05

# Several small bodies take milliseconds. A worker that has not answered by then is killed, and each is decoded alone,
# with nearly all of its time.
_TOGETHER_S = 1.0

# Bytes that stalled are innocent again after this time: it may have been the machine that stood still.
_STALLED_FOR_S = 600.0

_REFUSE_TRUNCATED = dict.fromkeys(Lane, OnTruncated.REFUSE)


class DecodeWorkers:
    """:class:`serve_app.domain.Preprocessor` over worker processes, warm when constructed; close it after use."""

    def __init__(
        self,
        limits: MediaLimits,
        count: int,
        decode: Decode = preprocess,
        on_truncated: Mapping[Lane, OnTruncated] = _REFUSE_TRUNCATED,
        detector: Detector | None = None,
        reachable: Sequence[Path] = (),
    ) -> None:
        """Start the workers.

        Args:
            limits: on bodies and media.
            count: pictures decoded at once; as many as there are cores for it.
            decode: what the workers run.
            on_truncated: the treatment of a picture whose end is missing.
            detector: finds faces where they are wanted; None if they never are.
            reachable: folders that ``decode`` may use; what ships needs none (:mod:`serve_app.media.confinement`).
        """
        self._on_truncated = on_truncated
        self._limits = limits
        setup = pickle.dumps((decode, limits, detector, [str(each) for each in reachable]))
        self._hostile = HostileBytes()
        self._stalled = HostileBytes(forgotten_after_s=_STALLED_FOR_S)
        self._count = count
        self._waiting = 0
        self._decode_s: float | None = None
        self._pool = WorkerPool(setup, count)
        self._gathering = Gathering(count, self._pool, self._decode_gathered)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all workers. Who waits for one is answered that decoding is not there."""
        self._pool.close()

    @property
    def picture_s(self) -> float:
        """Seconds that all workers together take for an average picture recently; 0 before the first."""
        return (self._decode_s or 0.0) / self._count

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until a picture that comes now would find an idle worker."""
        return (self._waiting + len(self._gathering)) * self.picture_s

    @property
    def lost(self) -> int:
        """Workers that died, or were killed with a picture, since the start."""
        return self._pool.lost

    def pids(self) -> set[int]:
        """The processes that are there now."""
        return self._pool.pids()

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: no worker is there, and none can be started.
        """
        self._pool.require_alive()

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        """See the port. A caller that goes away leaves a decode that ends, or is killed, soon after.

        Raises:
            UndecodableError: also for bytes that take longer than ``max_decode_s`` of CPU time, or that killed two
                workers.
            StalledError: these bytes have twice kept a worker waiting until the end of its time.
            TooLargeError: also for bytes that need more memory than ``max_decode_memory_bytes``.
            UnavailableError: closed, or our own mistake.
        """
        deadline = call.deadline
        if content in self._stalled:
            raise _stalled()
        body = AskedBody(content, view_size_px, with_faces, call)
        if is_gathered(content, call) and not self._is_suspect(content):
            outcome = await self._gathered(body)
            if isinstance(outcome, UnscannedError):
                raise outcome
            if outcome is not None:
                return outcome
        for _ in range(STRIKES):
            if content in self._hostile:
                break
            with timed(Stage.DECODE_WAIT, call):
                worker = await self._take_idle(call)
            decode = self._pool.run(self._decode_on(worker, body))
            try:
                async with asyncio.timeout(deadline.remaining_s()):
                    return await asyncio.shield(decode)
            except TimeoutError as error:
                raise DeadlineExceededError("no time was left for decoding") from error
            except WorkerLostError:
                _tell_lost(body)
                if self._pool.is_closed:
                    raise UnavailableError("decoding has ended") from None
        raise UndecodableError("these bytes killed the processes that decoded them")

    async def _gathered(self, body: AskedBody) -> Views | UnscannedError | None:
        """What became of a small body that others may be decoded with; None if it has to be decoded alone."""
        try:
            async with asyncio.timeout(body.call.deadline.require("decoding")):
                return await self._gathering.outcome(body)
        except TimeoutError as error:
            raise DeadlineExceededError("no time was left for decoding") from error

    def _is_suspect(self, content: bytes) -> bool:
        return self._hostile.is_suspect(content) or self._stalled.is_suspect(content)

    async def _take_idle(self, call: Call) -> WorkerProcess:
        self._waiting += 1
        try:
            async with asyncio.timeout(call.deadline.require("decoding")):
                return await self._pool.take(call)
        except TimeoutError as error:
            raise DeadlineExceededError("no decode worker became free in time") from error
        finally:
            self._waiting -= 1

    async def _decode_gathered(self, worker: WorkerProcess, some: Sequence[Gathered]) -> int:
        """Ask ``worker``, as :meth:`_decode_on` does; how many of the bodies have their outcome."""
        outcomes: Sequence[Views | UnscannedError | None]
        if len(some) > 1:
            outcomes = await self._decode_together(worker, [each.body for each in some])
        else:
            outcomes = [await self._decode_first(worker, some[0].body)]
        for each, outcome in zip(some, outcomes, strict=False):
            if not each.outcome.done():
                each.outcome.set_result(outcome)
        return len(outcomes)

    async def _decode_first(self, worker: WorkerProcess, body: AskedBody) -> Views | UnscannedError | None:
        try:
            return await self._decode_on(worker, body)
        except UnscannedError as error:
            return error
        except WorkerLostError:
            _tell_lost(body)
            return None

    async def _decode_together(
        self, worker: WorkerProcess, bodies: Sequence[AskedBody]
    ) -> Sequence[Views | UnscannedError | None]:
        """Outcomes of as many as are done soon; None for each if the worker is lost: whose fault it was, nobody knows.

        So nobody is blamed, and each has to be decoded alone.
        """
        answers: Sequence[Views | UnscannedError] = ()
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(_TOGETHER_S):
                answers = await worker.ask(bodies, self._on_truncated, self._limits.max_decode_memory_bytes)
        except (TimeoutError, WorkerLostError):
            if not self._pool.is_closed:
                text = f"a decode worker was lost with {len(bodies)} small pictures: each is decoded again, alone"
                logger.warning("decode_worker_lost_with_several", text, bodies=len(bodies))
            return [None] * len(bodies)
        finally:
            ended_s = time.monotonic()
            self._pool.give_back(worker, bool(answers))
        for each in bodies[: len(answers)]:
            self._observe((ended_s - started_s) / len(answers))
            tell_stage(Stage.DECODE, each.call, started_s, ended_s)
        return answers

    async def _decode_on(self, worker: WorkerProcess, body: AskedBody) -> Views:
        """Ask ``worker``, which is ours until this ends: then it is idle again, or dead and replaced."""
        content, call = body.content, body.call
        remaining_s = call.deadline.remaining_s()
        has_its_full_time = remaining_s * DECODE_SHARE >= self._limits.max_decode_s
        limit_s = remaining_s * DECODE_SHARE if has_its_full_time else remaining_s + _UNWANTED_S
        comes_back = False
        started_s, started_cpu_s = time.monotonic(), worker.cpu_s()
        try:
            async with asyncio.timeout(limit_s):
                (answer,) = await worker.ask([body], self._on_truncated, self._limits.max_decode_memory_bytes)
            comes_back = True
        except TimeoutError as error:
            if has_its_full_time and worker.cpu_s() - started_cpu_s < limit_s * _STALLED_SHARE:
                self._stalled.strike(content)
                if content in self._stalled:
                    raise _stalled() from error
            raise DeadlineExceededError("no time was left for decoding") from error
        except WorkerLostError as error:
            if not self._pool.is_closed:
                self._hostile.strike(content)
                if await asyncio.to_thread(worker.ran_out_of_time):
                    raise UndecodableError("took longer than max_decode_s of CPU time") from error
            raise
        finally:
            ended_s = time.monotonic()
            self._observe(ended_s - started_s)
            tell_stage(Stage.DECODE, call, started_s, ended_s)
            self._pool.give_back(worker, comes_back)
        self._hostile.clear(content)
        self._stalled.clear(content)
        if isinstance(answer, UnscannedError):
            raise answer
        return answer

    def _observe(self, decode_s: float) -> None:
        mean_s = decode_s if self._decode_s is None else self._decode_s
        self._decode_s = mean_s + _NEWEST_WEIGHT * (decode_s - mean_s)


def _tell_lost(body: AskedBody) -> None:
    body_bytes = len(body.content)
    text = f"a decode worker was lost with a picture of {body_bytes} bytes"
    logger.warning("decode_worker_lost", text, request_id=body.call.request_id, body_bytes=body_bytes)


def _stalled() -> StalledError:
    return StalledError("these bytes have twice made a decoder wait until its time was over")
