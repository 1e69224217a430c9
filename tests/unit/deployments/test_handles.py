"""Ray's errors become ours; a lost call is made once more, while the deadline allows. No Ray runs here."""

import asyncio

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RaySystemError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.handles import PreprocessorHandle, ScorerHandle
from deployments.transfer_gate import TransferGate
from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    Lane,
    OverloadedError,
    UnavailableError,
    UndecodableError,
    Views,
)
from serve_app.moderation import AdmissionControl

ADMISSION = AdmissionControl(8.0)
GATE = TransferGate(10**9)
VIEWS = Views(np.zeros((1, 8, 8, 3), np.uint8), (), "image/png", 1, 1)


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
        self.preprocess = self.score = self.identify = Method(*outcomes)


LOST = [
    pytest.param(ActorDiedError(), id="died"),
    pytest.param(ActorUnavailableError("gone", b"0" * 16), id="unavailable"),
]


def within(seconds=5.0):
    return Deadline.after(seconds)


async def test_the_value_comes_through_and_the_replica_is_told_what_is_left():
    handle = Handle("views")
    assert await PreprocessorHandle(handle, ADMISSION, GATE).preprocess(b"bytes", 224, within(5.0)) == "views"
    body, size_px, lane, demand, remaining_s = handle.preprocess.calls[0]
    assert (body, size_px, lane, demand) == (b"bytes", 224, Lane.LIVE, 1.0)
    assert 4.0 < remaining_s <= 5.0


async def test_the_scorer_is_told_how_many_live_pictures_are_being_preprocessed():
    handle, scoring = Handle(None, None), Handle("scores", "scores")
    preprocessor = PreprocessorHandle(handle, ADMISSION, GATE)
    scorer = ScorerHandle(scoring, ADMISSION, preprocessor)
    lanes = (Lane.LIVE, Lane.BACKGROUND)
    tasks = [asyncio.create_task(preprocessor.preprocess(b"", 224, within(), lane)) for lane in lanes]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(handle.preprocess.calls) == len(lanes)
    await scorer.score(VIEWS, within())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await scorer.score(VIEWS, within())
    assert [coming for _, _, _, coming, _ in scoring.score.calls] == [1, 0]


@pytest.mark.parametrize("lost", LOST)
async def test_a_lost_call_is_made_once_more(lost):
    handle = Handle(lost, "views")
    assert await PreprocessorHandle(handle, ADMISSION, GATE).preprocess(b"", 224, within()) == "views"
    assert len(handle.preprocess.calls) == 2


@pytest.mark.parametrize("lost", LOST)
async def test_a_call_lost_twice_is_unavailable(lost):
    handle = Handle(lost, lost, "never asked")
    with pytest.raises(UnavailableError, match="2 replicas were lost"):
        await PreprocessorHandle(handle, ADMISSION, GATE).preprocess(b"", 224, within())
    assert len(handle.preprocess.calls) == 2


async def test_a_hanging_replica_is_a_missed_deadline_and_its_call_is_cancelled():
    handle = Handle(None)
    with pytest.raises(DeadlineExceededError):
        await PreprocessorHandle(handle, ADMISSION, GATE).preprocess(b"", 224, within(0.02))
    assert handle.preprocess.responses[0].is_cancelled


async def test_an_expired_deadline_calls_nobody():
    handle = Handle()
    with pytest.raises(DeadlineExceededError):
        await PreprocessorHandle(handle, ADMISSION, GATE).preprocess(b"", 224, within(0.0))


async def test_a_caller_that_goes_away_cancels_the_call():
    handle = Handle(None)
    task = asyncio.create_task(
        ScorerHandle(handle, ADMISSION, PreprocessorHandle(handle, ADMISSION, GATE)).identify(within())
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handle.identify.responses[0].is_cancelled


def raised_in_a_replica(error):
    """As Ray hands an error over: an instance of both RayTaskError and the error's own class."""
    return RayTaskError("preprocess", "Traceback ... secret internals", error).as_instanceof_cause()


async def test_our_own_error_comes_out_as_it_was_raised():
    handle = Handle(raised_in_a_replica(UndecodableError("not a readable image/png")))
    with pytest.raises(UndecodableError) as caught:
        await PreprocessorHandle(handle, ADMISSION, GATE).preprocess(b"", 224, within())
    assert str(caught.value) == "not a readable image/png"
    assert type(caught.value) is UndecodableError


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (BackPressureError(9, 8), OverloadedError),
        (DeploymentUnavailableError("x"), UnavailableError),
        (RaySystemError("x"), UnavailableError),
        (raised_in_a_replica(ZeroDivisionError("secret internals")), UnavailableError),
        (raised_in_a_replica(TimeoutError("secret internals")), UnavailableError),
        (TimeoutError("secret internals"), UnavailableError),
    ],
)
async def test_every_other_error_becomes_one_of_ours_without_its_text(error, ours):
    with pytest.raises(ours) as caught:
        await PreprocessorHandle(Handle(error), ADMISSION, GATE).preprocess(b"", 224, within())
    assert "secret internals" not in str(caught.value)
