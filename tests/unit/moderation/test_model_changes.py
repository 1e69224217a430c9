"""The model behind the scorer changes, or is away for a while: none is used silently, and a decision names its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    Judged,
    ModelIdentity,
    PolicyError,
    UnavailableError,
    UnscannedReason,
)
from serve_app.models.fake import FAKE_NOTICE, FakeEngine

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED, GREEN = (255, 0, 0), (0, 255, 0)


def in_time(seconds: float = 8.0) -> Deadline:
    return Deadline.after(seconds)


def other_model(service: Service, name: str = "fake", digest: str = "1" * 64) -> FakeEngine:
    """The engine of a scorer that came back with something else."""
    engine = FakeEngine(service.policy.labels)
    engine.identity = ModelIdentity(name, digest, 8, "another notice")
    return engine


async def test_another_model_is_never_used_silently(service: Service, draw: Callable[..., bytes]) -> None:
    await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    service.scorer.engine = other_model(service, name="another")
    decision = await service.moderator.moderate(Body.of(draw("white")), Call("r-2", in_time()))
    assert (service.reason(decision), decision.kept) == (UnscannedReason.UNAVAILABLE, False)
    with pytest.raises(PolicyError, match="'another'"):
        await service.moderator.ready(in_time())


async def test_a_scorer_that_comes_back_as_another_model_is_not_asked_for_scores(
    service: Service, draw: Callable[..., bytes]
) -> None:
    service.scorer.fault = UnavailableError("died")
    await service.moderator.moderate(Body.of(draw("white")), Call("r-1", in_time()))
    service.scorer.fault, service.scorer.engine = None, other_model(service, name="another")
    decision = await service.moderator.moderate(Body.of(draw("white")), Call("r-2", in_time()))
    assert service.reason(decision) is UnscannedReason.UNAVAILABLE
    assert service.scorer.calls == 1


async def test_other_weights_of_the_same_name_judge_anew(service: Service, draw: Callable[..., bytes]) -> None:
    await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    service.scorer.engine = other_model(service)
    green = await service.moderator.moderate(Body.of(draw(GREEN)), Call("r-2", in_time()))
    assert green.model == service.moderator.model == service.scorer.engine.identity
    red = await service.moderator.moderate(Body.of(draw(RED)), Call("r-3", in_time()))
    assert red.model.digest == "1" * 64
    assert service.scorer.calls == 3


async def test_a_decision_names_the_model_that_looked_whatever_happens_to_its_neighbour(
    service: Service, draw: Callable[..., bytes]
) -> None:
    service.scorer.hangs = True
    looking = asyncio.create_task(service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time())))
    await service.scorer.entered.wait()
    service.scorer.hangs, service.scorer.fault = False, UnavailableError("a replica died")
    failed = await service.moderator.moderate(Body.of(draw(GREEN)), Call("r-2", in_time()))
    assert service.reason(failed) is UnscannedReason.UNAVAILABLE
    service.scorer.fault = None
    service.scorer.release.set()
    decision = await looking
    assert isinstance(decision.outcome, Judged)
    assert decision.model == failed.model == service.scorer.engine.identity
    assert decision.model.notice == FAKE_NOTICE


async def test_a_scorer_that_died_is_asked_once_by_all_who_come_then(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.scorer.fault = UnavailableError("died")
    await service.moderator.moderate(Body.of(draw("white")), Call("r-0", in_time()))
    service.scorer.fault = None
    asked, answers = 0, asyncio.Event()

    async def identify(_: Deadline) -> ModelIdentity:
        nonlocal asked
        asked += 1
        await answers.wait()
        return service.scorer.engine.identity

    monkeypatch.setattr(service.scorer, "identify", identify)
    hurried = asyncio.create_task(service.moderator.ready(in_time(0.05)))
    bodies = [Body.of(draw("white", (16, 20 + number))) for number in range(9)]
    waiting = [asyncio.create_task(service.moderator.moderate(body, Call("r", in_time()))) for body in bodies]
    with pytest.raises(DeadlineExceededError):
        await hurried
    answers.set()
    assert all(isinstance(each.outcome, Judged) for each in await asyncio.gather(*waiting))
    assert asked == 1


async def test_ready_tells_the_model(service: Service) -> None:
    assert service.moderator.model == ModelIdentity("fake", "", 0)
    assert await service.moderator.ready(in_time()) == service.scorer.engine.identity
    assert service.moderator.model == service.scorer.engine.identity
