"""Ray's errors become ours; a lost call is made once more, while the deadline allows. No Ray runs here."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RaySystemError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.handles import PreprocessorHandle, ScorerHandle, WorkersHandle
from deployments.transfer_gate import TransferGate
from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    LabelScores,
    LoadSignals,
    OtherVersionError,
    OverloadedError,
    UnavailableError,
    UndecodableError,
    Views,
)
from serve_app.domain.workers import WorkersHealth
from serve_app.models.fake import FakeEngine

LABELS = ("red",)
GATE = TransferGate(10**9)
VIEWS = Views(np.zeros((1, 8, 8, 3), np.uint8), (), "image/png", 1, 1)
SCORES = LabelScores(np.zeros((1, 1), np.float32), 1.0, FakeEngine(("a",)).identity)


class Response:
    """What a handle's method returns: awaitable, and cancelled when it is no longer wanted."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.is_cancelled = False

    def __await__(self):
        return self._value().__await__()

    async def _value(self):
        if self.outcome is None:
            await asyncio.Event().wait()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def cancel(self):
        self.is_cancelled = True


class Method:
    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.calls = []
        self.responses = []

    def remote(self, *args):
        self.calls.append(args)
        self.responses.append(Response(self.outcomes.pop(0)))
        return self.responses[-1]


class Handle:
    def __init__(self, *outcomes):
        self.preprocess = self.score = self.identify = method = Method(*outcomes)
        self.connected_workers = self.workers_health = self.dismiss_worker = self.workers_back_at = method


def handle_of(*outcomes) -> Any:
    """A handle whose type is not Ray's: what ours ask of one is all that it has."""
    return Handle(*outcomes)


LOST = [
    pytest.param(ActorDiedError(), id="died"),
    pytest.param(ActorUnavailableError("gone", b"0" * 16), id="unavailable"),
]


def within(seconds=5.0, clock=time.monotonic):
    return Call("r-1", Deadline.after(seconds, clock))


async def test_the_value_comes_through_and_the_replica_is_given_the_call():
    handle, call, load = handle_of(VIEWS), within(5.0), LoadSignals(demand=2.0)
    assert await PreprocessorHandle(handle, GATE).preprocess(b"bytes", 224, call, load, with_faces=True) is VIEWS
    assert handle.preprocess.calls == [(b"bytes", 224, call, load, True)]


async def test_of_the_views_their_pixels_alone_travel_to_the_scorer():
    handle, call, load = handle_of(SCORES), within(), LoadSignals(coming=3)
    assert await ScorerHandle(handle, LABELS).score(VIEWS, call, load) is SCORES
    ((labels, pixels, faces, *others),) = handle.score.calls
    assert labels is LABELS
    assert pixels is VIEWS.pixels
    assert faces is VIEWS.faces.pixels
    assert others == [call, load]


@pytest.mark.parametrize("lost", LOST)
async def test_a_lost_call_is_made_once_more(lost):
    handle = handle_of(lost, VIEWS)
    assert await PreprocessorHandle(handle, GATE).preprocess(b"", 224, within(), LoadSignals()) is VIEWS
    assert len(handle.preprocess.calls) == 2


@pytest.mark.parametrize("lost", LOST)
async def test_a_call_lost_twice_is_unavailable(lost):
    handle = handle_of(lost, lost, "never asked")
    with pytest.raises(UnavailableError, match="2 replicas died"):
        await PreprocessorHandle(handle, GATE).preprocess(b"", 224, within(), LoadSignals())
    assert len(handle.preprocess.calls) == 2


async def test_a_hanging_replica_is_a_missed_deadline_and_its_call_is_cancelled():
    handle = handle_of(None)
    with pytest.raises(DeadlineExceededError):
        await PreprocessorHandle(handle, GATE).preprocess(b"", 224, within(0.02, lambda: 0.0), LoadSignals())
    assert handle.preprocess.responses[0].is_cancelled


async def test_an_expired_deadline_calls_nobody():
    handle = handle_of()
    with pytest.raises(DeadlineExceededError):
        await PreprocessorHandle(handle, GATE).preprocess(b"", 224, within(0.0), LoadSignals())


async def test_a_caller_that_goes_away_cancels_the_call():
    handle = handle_of(None)
    task = asyncio.create_task(ScorerHandle(handle, LABELS).identify(within().deadline))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handle.identify.calls == [(LABELS,)]
    assert handle.identify.responses[0].is_cancelled


def raised_in_a_replica(error):
    """As Ray hands an error over: an instance of both RayTaskError and the error's own class."""
    return RayTaskError("preprocess", "Traceback ... secret internals", error).as_instanceof_cause()


async def test_our_own_error_comes_out_as_it_was_raised():
    handle = handle_of(raised_in_a_replica(UndecodableError("not a readable image/png")))
    with pytest.raises(UndecodableError) as caught:
        await PreprocessorHandle(handle, GATE).preprocess(b"", 224, within(), LoadSignals())
    assert str(caught.value) == "not a readable image/png"
    assert type(caught.value) is UndecodableError


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (BackPressureError(9, 8), OverloadedError),
        (DeploymentUnavailableError(DeploymentID("x")), UnavailableError),
        (RaySystemError("x"), UnavailableError),
        (raised_in_a_replica(ZeroDivisionError("secret internals")), UnavailableError),
        (raised_in_a_replica(TimeoutError("secret internals")), UnavailableError),
        (TimeoutError("secret internals"), UnavailableError),
    ],
)
async def test_every_other_error_becomes_one_of_ours_without_its_text(error, ours):
    with pytest.raises(ours) as caught:
        await PreprocessorHandle(handle_of(error), GATE).preprocess(b"", 224, within(), LoadSignals())
    assert "secret internals" not in str(caught.value)


def of_a_replica(error):
    """As it arrives: a RayTaskError that is also ours."""
    return RayTaskError("score", "traceback", error).as_instanceof_cause()


async def test_a_call_that_a_scorer_of_another_version_refuses_is_made_again_until_one_of_this_version_answers():
    handle = handle_of(*(of_a_replica(OtherVersionError("old")) for _ in range(5)), SCORES)
    assert await ScorerHandle(handle, LABELS).score(VIEWS, within(), LoadSignals()) is SCORES


async def test_it_is_unavailable_when_none_of_this_version_answers_for_long(monkeypatch):
    monkeypatch.setattr("deployments.handles._OTHER_VERSION_S", 0.0)
    handle = handle_of(*(of_a_replica(OtherVersionError("the scorer has other labels")) for _ in range(3)))
    with pytest.raises(OtherVersionError, match="other labels"):
        await ScorerHandle(handle, LABELS).score(VIEWS, within(), LoadSignals())


async def test_a_call_is_not_made_again_beyond_its_deadline():
    handle = handle_of(*(of_a_replica(OtherVersionError("old")) for _ in range(9)))
    now_s, remote = 0.0, handle.score.remote

    def call(*args):
        nonlocal now_s
        now_s += 0.6
        return remote(*args)

    handle.score.remote = call
    with pytest.raises(DeadlineExceededError):
        await ScorerHandle(handle, LABELS).score(VIEWS, within(0.5, lambda: now_s), LoadSignals())
    assert len(handle.score.calls) == 1


async def test_workers_are_those_of_the_replica_that_they_connect_to():
    handle = handle_of((), health := WorkersHealth(1), True, at := datetime(2026, 11, 26, tzinfo=UTC))
    workers = WorkersHandle(handle)
    assert await workers.connected() == ()
    assert await workers.health() is health
    assert await workers.dismiss("anna/desktop", "alice")
    assert handle.dismiss_worker.calls == [(), (), ("anna/desktop", "alice")]
    assert await workers.back_at() == at


@pytest.mark.parametrize("failure", [DeploymentUnavailableError(DeploymentID("RemoteScorer")), TimeoutError()])
async def test_a_replica_that_does_not_tell_of_its_workers_is_unavailable(failure):
    with pytest.raises(UnavailableError, match="the replica that workers connect to does not answer"):
        await WorkersHandle(handle_of(failure)).health()
