"""Ports without processes or Ray, for tests: the real decoder and the fake engine, made to fail or to hang.

They are held to the contract of their ports, as the service's own are (``tests/contract``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from serve_app.domain import Call, Deadline, LabelScores, Lane, LoadSignals, ModelIdentity, Views
from serve_app.media import MediaLimits, preprocess
from serve_app.models.fake import FakeEngine


@dataclass
class Port:
    """A port of the use case that can be made to fail. ``entered`` is set once a call has come in."""

    fault: BaseException | None = None
    hangs: bool = False
    calls: int = 0
    lanes: list[Lane] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def enter(self, lane: Lane = Lane.LIVE) -> None:
        self.calls += 1
        self.lanes.append(lane)
        self.entered.set()
        if self.hangs:
            await self.release.wait()
        if self.fault is not None:
            raise self.fault


@dataclass
class InProcessPreprocessor(Port):
    limits: MediaLimits = field(default_factory=lambda: MediaLimits(max_pixels=1_000_000))
    with_faces: list[bool] = field(default_factory=list)

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        self.with_faces.append(with_faces)
        await self.enter(call.lane)
        return preprocess(content, view_size_px, self.limits, call.deadline)


@dataclass(kw_only=True)
class InProcessScorer(Port):
    """``fault`` and ``hangs`` are of :meth:`score`; ``asleep`` and ``sleeps`` are of :meth:`identify`."""

    engine: FakeEngine
    asleep: BaseException | None = None
    sleeps: bool = False
    worker: str | None = None
    loads: list[LoadSignals] = field(default_factory=list)

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        deadline.require("the scorer")
        if self.asleep is not None:
            raise self.asleep
        if self.sleeps:
            await self.release.wait()
        return self.engine.identity

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        self.loads.append(load)
        call.deadline.require("scoring")
        await self.enter(call.lane)
        return LabelScores(self.engine.encode(views.pixels), self.engine.logit_scale, self.engine.identity, self.worker)
