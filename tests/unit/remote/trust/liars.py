"""Workers that score drawn views as a small model does, or lie; a fleet of them under trust, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import (
    NO_FACES,
    Call,
    Deadline,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    UnscannedReason,
    ViewPlace,
    Views,
)
from serve_app.remote.fleet import Fleet, Member
from serve_app.remote.messages import PROTOCOL, Failed, FromFront, Hello, Offer, Ping, Pong, Refused, Scored, Work
from serve_app.remote.trust import Environment, Trust
from serve_app.remote.trust.reports import Disagreed, Distrusted, PassedProbe, Suspended

LABELS = ("a red shape", "a triangle", "a photograph", "open-nsfw/nsfw")
MODEL = ModelIdentity("small", "ab" * 32, 32)
LOGIT_SCALE = 100.0
DEADLINE_S = 8.0
NEVER = 10**9

Values = NDArray[np.float32]
Report = TypeVar("Report", PassedProbe, Distrusted, Disagreed, Suspended)
Lie = Callable[[Values, Work], Values]


def scores_of(pixels: NDArray[np.uint8], weights: int = 1) -> Values:
    """Scores that vary from view to view by about 0.05, and a probability that does by about 0.2."""
    patches = pixels.reshape(len(pixels), 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(len(pixels), -1) / 255 - 0.5
    mixing = np.random.default_rng(weights).normal(size=(patches.shape[1], len(LABELS)))
    values = patches @ mixing / np.sqrt(patches.shape[1])
    values[:, :3] *= 0.2
    values[:, 3] = 1 / (1 + np.exp(-4 * values[:, 3]))
    scores: Values = values.astype(np.float32)
    return scores


def in_precision(error: float, seed: int = 5) -> Lie:
    """No lie: arithmetic whose errors are so large, normally distributed."""
    rng = np.random.default_rng(seed)
    return lambda values, _: (values + rng.normal(scale=error, size=values.shape)).clip(-1, 1).astype(np.float32)


def honest(values: Values, _: Work) -> Values:
    return values


class Worker:
    """Implements :class:`serve_app.remote.fleet.ports.Line`, and answers after 10 ms."""

    def __init__(self, answers: Lie = honest) -> None:
        self.answers = answers
        self.logit_scale = LOGIT_SCALE
        self.is_overloaded = False
        self.works: list[Work] = []
        self.refused: Refused | None = None
        self.member: Member | None = None

    @property
    def unsent_bytes(self) -> int:
        return 0

    def send(self, message: FromFront) -> None:
        asyncio.get_running_loop().call_later(0.01, self._answer, message)

    def close(self, refused: Refused | None = None) -> None:
        self.refused = refused

    def _answer(self, message: FromFront) -> None:
        assert self.member is not None
        if isinstance(message, Ping):
            self.member.received(Pong(message.number))
        elif isinstance(message, Work):
            self.works.append(message)
            if self.is_overloaded:
                self.member.received(Failed(message.number, UnscannedReason.OVERLOADED, "busy", 0.0))
                return
            values = self.answers(scores_of(message.pixels), message)
            self.member.received(Scored(message.number, values, self.logit_scale, 0.005))


class Engine:
    """:class:`serve_app.domain.Scorer`: the front's own."""

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        return MODEL

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        return LabelScores(scores_of(views.pixels), LOGIT_SCALE, MODEL)


@dataclass
class Told:
    """Reports, in the order in which they came."""

    reports: list[PassedProbe | Distrusted | Disagreed | Suspended] = field(default_factory=list)

    def passed(self, report: PassedProbe) -> None:
        self.reports.append(report)

    def distrusted(self, report: Distrusted) -> None:
        self.reports.append(report)

    def disagreed(self, report: Disagreed) -> None:
        self.reports.append(report)

    def suspended(self, report: Suspended) -> None:
        self.reports.append(report)

    def of(self, kind: type[Report]) -> list[Report]:
        return [report for report in self.reports if isinstance(report, kind)]


class Scene:
    """A fleet under trust. Times in reports are those of the loop."""

    def __init__(
        self, *, seed: int = 1, with_engine: bool = False, probe_every: int = 10, double_every: int = NEVER
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun_s = self.loop.time()
        self.set_back = timedelta()
        """By how much somebody has set the wall clock back."""
        self.told = Told()
        self.fleet = Fleet([LABELS], clock=self.loop.time)
        environment = Environment(self.loop.time, self.now, asyncio.sleep, random.Random(seed))
        self.trust = Trust(
            self.fleet,
            [LABELS],
            self.told,
            probe_every=probe_every,
            double_every=double_every,
            deadline_s=DEADLINE_S,
            environment=environment,
        )
        if with_engine:
            self.trust.compare_with([Engine()])
        self.runs = self.loop.create_task(self.trust.run())
        self.pictures = random.Random(seed + 1)

    async def __aenter__(self) -> Scene:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.runs.cancel()
        await asyncio.gather(self.runs, return_exceptions=True)
        self.fleet.close()

    def now(self) -> datetime:
        return datetime(2026, 11, 27, tzinfo=UTC) + timedelta(seconds=self.loop.time() - self.begun_s) - self.set_back

    def join(self, worker: Worker, owner: str = "home", name: str = "desk") -> Member:
        worker.member = self.fleet.join(Hello(PROTOCOL, "1", name, "small", (Offer(MODEL, {1: 0.005}),)), worker, owner)
        return worker.member

    async def trusted(self, *workers: Worker) -> None:
        """Let each join, under an owner of its own, and pass its trial."""
        for number, worker in enumerate(workers):
            member = self.join(worker, f"owner{number}")
            await asyncio.sleep(5)
            assert not member.is_on_trial

    async def ask(self) -> LabelScores:
        """One picture."""
        count = self.pictures.choice((1, 1, 1, 3))
        pixels = np.random.default_rng(self.pictures.getrandbits(32)).integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
        views = Views(
            np.repeat(np.repeat(pixels, 32, 1), 32, 2),
            (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),) * count,
            "image/png",
            1,
            1,
            faces=NO_FACES,
        )
        deadline = Deadline.after(DEADLINE_S - 0.2, self.loop.time)
        return await self.fleet.score(0, views, Call(f"picture-{self.pictures.getrandbits(32)}", deadline))

    async def pictures_for(self, seconds: float, until: type[Report] | None = None) -> list[LabelScores]:
        """One each second, as long as there is a worker that is trusted, or until there is a report of this kind."""
        scores = []
        for _ in range(round(seconds)):
            if until is not None and self.told.of(until):
                break
            if any(member.is_usable for member in self.fleet.members):
                scores.append(await self.ask())
            await asyncio.sleep(1)
        return scores
