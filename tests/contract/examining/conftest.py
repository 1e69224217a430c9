"""A preprocessor, a scorer and an examiner of every kind that needs no Ray."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from deployments.handles import PreprocessorHandle, ScorerHandle
from deployments.preprocessor import Preprocessor as PreprocessorReplica
from deployments.transfer_gate import TransferGate
from serve_app.composition.local_stages import Stages, StartingExaminer
from serve_app.domain import Examiner, Preprocessor, Scorer
from serve_app.media.workers import DecodeWorkers
from serve_app.models.fake import FakeEngine
from serve_app.moderation import Pipeline
from serve_app.settings import LogSettings
from tests.contract.examining import stages
from tests.contract.examining.elsewhere import worker_elsewhere
from tests.stand_ins import InProcessPreprocessor, InProcessScorer

ScorerOf = Callable[[tuple[str, ...]], Scorer]
ExaminerOf = Callable[[tuple[str, ...]], Examiner]

WAYS = ("stand-in", "here", "behind a handle")
"""How the two stages run. The stand-in is that of the unit tests; *here* is how one process has them."""

SCORER_WAYS = (*WAYS, "elsewhere")
"""How scorers run: *elsewhere* is on a worker that has joined a fleet."""


@pytest.fixture(scope="module")
def workers() -> Iterator[DecodeWorkers]:
    """One decode worker, which takes a second to start."""
    with DecodeWorkers(stages.LIMITS, 1) as workers:
        yield workers


@pytest.fixture(scope="module")
def preprocessor_replica() -> Iterator[PreprocessorReplica]:
    """With a worker of its own."""
    with pytest.MonkeyPatch.context() as patch:
        # It would take over this process's log.
        patch.setattr("deployments.preprocessor.set_up_replica", lambda *_: None)
        replica = PreprocessorReplica(
            stages.LIMITS, stages.ON_TRUNCATED, stages.DEADLINE_S, stages.LABELS, LogSettings(), workers=1
        )
    yield replica
    replica.close()


def make_preprocessor(request: pytest.FixtureRequest, way: str) -> Preprocessor:
    """A preprocessor with the limits of :mod:`tests.contract.examining.stages`."""
    if way == "stand-in":
        return InProcessPreprocessor(limits=stages.LIMITS)
    if way in {"here", "elsewhere"}:
        return cast("DecodeWorkers", request.getfixturevalue("workers"))
    handle: Any = stages.LocalHandle(request.getfixturevalue("preprocessor_replica"))
    return PreprocessorHandle(handle, TransferGate(10**9))


@contextlib.asynccontextmanager
async def open_scorers(way: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScorerOf]:
    """Scorers with the fake engine and the sets of labels of :mod:`tests.contract.examining.stages`."""
    if way == "stand-in":
        yield lambda labels: InProcessScorer(engine=FakeEngine(labels))
        return
    if way == "here":
        scorers = stages.engine_scorers()
        yield scorers.of
        await scorers.close()
        return
    if way == "elsewhere":
        async with worker_elsewhere() as remote:
            yield remote.of
        return
    monkeypatch.setattr("deployments.clip_scorer.set_up_replica", lambda *_: None)
    replica = stages.scorer_replica()
    handle: Any = stages.LocalHandle(replica)
    yield lambda labels: ScorerHandle(handle, labels)
    await replica._scorers.close()  # a replica ends with its process


@pytest.fixture(params=WAYS)
def preprocessor(request: pytest.FixtureRequest) -> Preprocessor:
    return make_preprocessor(request, request.param)


@pytest.fixture(params=SCORER_WAYS)
async def scorer_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScorerOf]:
    """Makes scorers over one device, each for one of the sets of labels."""
    async with open_scorers(request.param, monkeypatch) as scorer_of:
        yield scorer_of


@pytest.fixture
def scorer(scorer_of: ScorerOf) -> Scorer:
    return scorer_of(stages.LABELS)


@pytest.fixture(params=[*SCORER_WAYS, "one process"])
async def examiner_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ExaminerOf]:
    """Makes pipelines over the same two stages; and those of one process, which has its stages once they are warm."""
    if request.param != "one process":
        async with open_scorers(request.param, monkeypatch) as scorer_of:
            preprocessor = make_preprocessor(request, request.param)
            yield lambda labels: Pipeline(preprocessor, scorer_of(labels))
        return
    scorers = stages.engine_scorers()
    warm: Any = stages.Warm(request.getfixturevalue("workers"), scorers)
    started: Stages = warm

    def make(labels: tuple[str, ...]) -> StartingExaminer:
        starting = StartingExaminer(labels)
        starting.started(started)
        return starting

    yield make
    await scorers.close()


@pytest.fixture
def examiner(examiner_of: ExaminerOf) -> Examiner:
    return examiner_of(stages.LABELS)
