"""What workers say of bodies that they decoded, beside what the front sees of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.virtual_time import play
from serve_app.domain import (
    Body,
    Call,
    Deadline,
    FrameFingerprint,
    LabelScores,
    Lane,
    LoadSignals,
    UndecodableError,
    ViewPlace,
    Views,
)
from serve_app.remote.fleet import Answered
from serve_app.remote.trust.reports import Disagreed, Distrusted
from tests.unit.remote.trust.liars import DEADLINE_S, LOGIT_SCALE, MODEL, Scene, Worker, scores_of

RNG = np.random.default_rng(3)
VIEWS = Views(
    RNG.integers(0, 256, (1, 32, 32, 3), np.uint8),
    (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),),
    *("image/jpeg", 1, 1),
    fingerprints=(FrameFingerprint(0, 100, RNG.bytes(256)),),
)
TOLD = replace(VIEWS, pixels=np.empty((1, 0, 0, 3), np.uint8))


class Preprocessor:
    """Cuts the same views of every body."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.lanes: list[Lane] = []

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        self.lanes.append(call.lane)
        if self.fault is not None:
            raise self.fault
        return VIEWS


async def examined(scene: Scene, worker: Worker, told: Views, off: float = 0.0) -> None:
    """The worker says this of a picture, and there is time to look into it."""
    assert worker.member is not None
    scores = LabelScores(scores_of(VIEWS.pixels) + np.float32(off), LOGIT_SCALE, MODEL, worker.member.name)
    call = Call("r-1", Deadline.after(DEADLINE_S, scene.loop.time))
    scene.trust.examined(0, Body.of(b"a file"), call, Answered(told, scores))
    await asyncio.sleep(5)


LIES = {
    "fingerprint": replace(TOLD, fingerprints=(FrameFingerprint(0, 100, bytes(256)),)),
    "quality that no list asks for": replace(TOLD, fingerprints=(replace(VIEWS.fingerprints[0], quality=49),)),
    "no fingerprint of it turned": replace(
        TOLD, fingerprints=(FrameFingerprint(0, 100, VIEWS.fingerprints[0].pdq + bytes(224)),)
    ),
    "no fingerprint": replace(TOLD, fingerprints=()),
    "type": replace(TOLD, media_type="image/gif"),
    "place": replace(TOLD, places=(ViewPlace(0, (0.0, 0.0, 0.5, 0.5)),)),
}


@pytest.mark.parametrize("told", LIES.values(), ids=LIES)
def test_a_worker_that_lies_about_a_file_is_sent_away_though_it_is_alone(told: Views) -> None:
    async def run() -> None:
        async with Scene(double_every=1) as scene:
            scene.trust.decode_with(Preprocessor())
            liar = Worker()
            await scene.trusted(liar)
            await examined(scene, liar, TOLD)
            assert not scene.told.of(Distrusted)
            await examined(scene, liar, told)
            (report,) = scene.told.of(Distrusted)
            assert "compared with what the front decodes" in report.why
            assert report.has_decoded
            assert liar.refused is not None

    play(run())


@pytest.mark.parametrize("off", [0.0, 0.3])
def test_scores_of_a_file_are_compared_with_those_of_its_views(off: float) -> None:
    async def run() -> None:
        async with Scene(double_every=1) as scene:
            scene.trust.decode_with(Preprocessor())
            decoder, other = Worker(), Worker()
            await scene.trusted(decoder, other)
            await examined(scene, decoder, TOLD, off)
            assert bool(scene.told.of(Distrusted) or scene.told.of(Disagreed)) is (off > 0)

    play(run())


def test_a_front_that_cannot_decode_what_a_worker_can_takes_nobody_for_a_liar() -> None:
    async def run() -> None:
        async with Scene(double_every=1) as scene:
            preprocessor = Preprocessor()
            preprocessor.fault = UndecodableError("took longer than max_decode_s of CPU time")
            scene.trust.decode_with(preprocessor)
            worker = Worker()
            await scene.trusted(worker)
            await examined(scene, worker, TOLD)
            assert preprocessor.lanes == [Lane.LIVE]
            assert not scene.told.of(Distrusted)

    play(run())
