"""The whole way of a picture on a clock of its own: what one source waits for while another one sends too much.

Real admission, quotas, moderator, queue of decode workers and batcher; decoding and passes take simulated seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.virtual_time import JumpingLoop
from serve_app.batching import Batcher, PassCosts
from serve_app.domain import (
    Body,
    Call,
    Deadline,
    FullError,
    LabelScores,
    Lane,
    LoadSignals,
    ModelIdentity,
    OnUnscanned,
    ViewPlace,
    Views,
)
from serve_app.ledger import MemoryLedger
from serve_app.media.workers.lane_queue import LaneQueue
from serve_app.models.fake import FakeEngine
from serve_app.moderation import AdmissionControl, Moderator, Pipeline
from serve_app.moderation.quotas import Quotas
from serve_app.policy import Policy

Play = Callable[..., None]

DEADLINE_S = 8.0
WORKERS, DECODE_S = 2, 0.008
PASS_S = {1: 0.010, 2: 0.014, 4: 0.022, 8: 0.040, 16: 0.076}
CAPACITY_PER_S = 16 / PASS_S[16]
SECONDS = 14.0
SETTLED_S = 8.0
"""Until then a source at ten times its quota uses up the minute's pictures that it may have at once."""


class Decoders:
    """:class:`serve_app.domain.Preprocessor` whose workers sleep."""

    def __init__(self) -> None:
        self._idle: LaneQueue[int] = LaneQueue()
        for worker in range(WORKERS):
            self._idle.put(worker)

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        worker = await self._idle.get(call)
        assert worker is not None
        try:
            await asyncio.sleep(DECODE_S)
        finally:
            self._idle.put(worker)
        pixels = np.zeros((1, view_size_px, view_size_px, 3), np.uint8)
        return Views(pixels, (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),), "image/png", 1, 1)


class Device:
    """:class:`serve_app.domain.Scorer` whose passes sleep."""

    def __init__(self, labels: tuple[str, ...], clock: Callable[[], float]) -> None:
        self._engine = FakeEngine(labels)
        self._batcher: Batcher[NDArray[np.uint8], NDArray[np.float32]] = Batcher(
            self._run_pass, {None: PassCosts(PASS_S)}, 1024, clock=clock
        )
        self.close = self._batcher.close

    async def _run_pass(self, _kind: object, views: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.float32]]:
        await asyncio.sleep(PASS_S[min(size for size in PASS_S if size >= len(views))])
        return list(self._engine.encode(np.stack(views)))

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        return self._engine.identity

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        rows = await self._batcher.submit(list(views.pixels), call, load.coming)
        return LabelScores(np.stack(rows), self._engine.logit_scale, self._engine.identity)


@dataclass
class Sender:
    """A source: how much it sends, what it may, and what came of it."""

    rate_per_s: float
    share: float = 1.0
    quota: int | None = None
    waits_s: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def p99_s(self) -> float:
        return float(np.quantile(self.waits_s, 0.99, method="inverted_cdf"))

    @property
    def scanned(self) -> int:
        return len(self.waits_s)


@pytest.fixture
def play(make_policy: Callable[..., Policy]) -> Play:
    """Has senders send at random moments, which are the same whatever others send."""
    policy = make_policy()

    async def scene(senders: Mapping[str, Sender]) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        admission = AdmissionControl(DEADLINE_S, clock, {name: each.share for name, each in senders.items()})
        quotas = Quotas({name: each.quota for name, each in senders.items() if each.quota}, clock=clock)
        device = Device(policy.labels, clock)
        moderator = Moderator(
            *(policy, Pipeline(Decoders(), device), MemoryLedger(10), OnUnscanned.REJECT, admission), quotas=quotas
        )
        numbers = itertools.count()

        async def send(name: str, sender: Sender) -> None:
            sent_s = clock()
            call = Call(f"r-{next(numbers)}", Deadline.after(DEADLINE_S, clock), Lane.LIVE, name, sender.share)
            try:
                moderator.require_room(call)
            except FullError:
                sender.refused += 1
                return
            decision = await moderator.moderate(Body.of(call.request_id.encode()), call)
            if not decision.kept:
                sender.refused += 1
            elif sent_s >= began_s + SETTLED_S:
                sender.waits_s.append(clock() - sent_s)

        async with asyncio.TaskGroup() as sending:
            for at_s, name in _moments(senders):
                await asyncio.sleep(began_s + at_s - clock())
                sending.create_task(send(name, senders[name]))
        await device.close()

    def play(**senders: Sender) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(scene(senders))

    return play


def _moments(senders: Mapping[str, Sender]) -> list[tuple[float, str]]:
    found = []
    for name, sender in senders.items():
        source = random.Random(name)
        found += [(source.uniform(0.0, SECONDS), name) for _ in range(round(sender.rate_per_s * SECONDS))]
    return sorted(found)


def test_a_source_at_ten_times_its_quota_costs_another_one_little(play: Play) -> None:
    alone, beside, busy = Sender(60.0), Sender(60.0), Sender(100.0, quota=600)
    play(quiet=alone)
    play(quiet=beside, busy=busy)
    assert beside.p99_s <= 1.2 * alone.p99_s
    assert beside.refused == 0
    assert busy.scanned <= 600 / 60 * (SECONDS - SETTLED_S) + 2


def test_a_source_without_a_quota_that_floods_the_service_costs_another_one_the_passes_that_run(play: Play) -> None:
    quiet, flood = Sender(60.0), Sender(2 * CAPACITY_PER_S)
    play(quiet=quiet, flood=flood)
    assert quiet.refused == 0
    assert quiet.p99_s <= 2 * PASS_S[16] + 3 * DECODE_S, "not the two seconds of the queue"
    assert flood.scanned >= 0.9 * (CAPACITY_PER_S - 60.0) * (SECONDS - SETTLED_S), "what the other leaves, it has"
