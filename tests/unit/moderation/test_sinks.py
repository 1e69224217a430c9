"""Rule 1 for the ledger and the log: whatever becomes of them, the verdict stands, and in time."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.virtual_time import play
from serve_app.domain import Body, Call, Deadline, Judged, OverloadedError, UnscannedReason, Verdict, Views
from serve_app.moderation.sinks import RECALL_BUDGET_S, SINK_BUDGET_S, Sinks
from tests.contract.conftest import Made

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED = (255, 0, 0)
LOGGER = "serve_app.moderation.sinks"


def in_time() -> Deadline:
    return Deadline.after(8.0)


def verdict(outcome: object) -> Verdict | None:
    return outcome.judgement.verdict if isinstance(outcome, Judged) else None


async def test_a_ledger_that_fails_to_record_does_not_touch_the_answer(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    service.ledger.fault = OSError("password=hunter2")
    for number in range(2):
        decision = await service.moderator.moderate(Body.of(draw(RED)), Call(f"r-{number}", in_time()))
        assert verdict(decision.outcome) is Verdict.REJECT
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [f"has lost {lost} since" in error for lost, error in zip((1, 2), errors, strict=True)] == [True, True]
    assert "hunter2" not in caplog.text
    assert service.ledger.recorded == []


def test_a_ledger_that_hangs_costs_its_budget_and_no_verdict(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        service.ledger.hangs = True
        clock = asyncio.get_running_loop().time
        began_s = clock()
        # A deadline that has passed when the ledger is asked: its budget is not taken from it.
        decision = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", Deadline.after(0.0, clock)))
        assert clock() - began_s == pytest.approx(SINK_BUDGET_S)
        assert decision.request_id == "r-1"

    play(scene())
    assert RECALL_BUDGET_S + SINK_BUDGET_S <= 0.25, "rule 1: deadline + 0.5 s"
    assert "the ledger did not record the decision (no answer within 0.2 s)" in caplog.text


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("is_cut", [False, True])
async def test_a_picture_is_not_let_through_unscanned_where_nothing_records_that(
    make_service: Callable[..., Service],
    draw: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    hangs: bool,
    is_cut: bool,
) -> None:
    service = make_service(on_unscanned="accept")
    content = draw()
    if is_cut:
        whole = service.preprocessor.preprocess

        async def preprocess(*args: Any) -> Views:
            return dataclasses.replace(await whole(*args), is_truncated=True)

        monkeypatch.setattr(service.preprocessor, "preprocess", preprocess)
    else:
        service.scorer.fault = OverloadedError("later")
    service.answered(await service.scan(content), 200)
    assert service.ledger.recorded[-1].is_pending, "it is let through, since the ledger has it"
    service.ledger.fault, service.ledger.hangs = OSError(28, "No space left on device"), hangs
    caplog.set_level(logging.INFO, LOGGER)
    caplog.clear()
    answer = service.answered(await service.scan(content), 503)
    assert answer["reason"] == UnscannedReason.UNAVAILABLE
    assert "the picture is refused, since no ledger recorded that it must be scanned later" in caplog.text
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO and each.name == LOGGER]
    assert "unscanned (unavailable)" in line, "the line tells what was answered"
    assert "kept=False" in line
    assert "pending" not in line


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_ledger_that_cannot_recall_is_a_miss(
    service: Service,
    draw: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    hangs: bool,
) -> None:
    async def recall(*_: str) -> None:
        if hangs:
            await asyncio.Event().wait()
        raise TimeoutError("the database")

    await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
    monkeypatch.setattr(service.ledger, "recall", recall)
    decision = await service.moderator.moderate(Body.of(draw(RED)), Call("r-2", in_time()))
    assert verdict(decision.outcome) is Verdict.REJECT
    assert service.scorer.calls == 2
    assert "the ledger failed to recall the same bytes" in caplog.text


class Broken(logging.Handler):
    """A log that raises into whoever writes to it."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(28, "No space left on device")


async def test_a_log_that_fails_does_not_touch_the_answer(service: Service, draw: Callable[..., bytes]) -> None:
    logger = logging.getLogger(LOGGER)
    broken = Broken(logging.INFO)
    logger.addHandler(broken)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        decision = await service.moderator.moderate(Body.of(draw(RED)), Call("r-1", in_time()))
        service.ledger.fault = OSError("broken too")
        another = await service.moderator.moderate(Body.of(draw("white")), Call("r-2", in_time()))
    finally:
        logger.removeHandler(broken)
        logger.setLevel(level)
    assert [verdict(each.outcome) for each in (decision, another)] == [Verdict.REJECT, Verdict.ACCEPT]
    assert service.ledger.recorded == [decision]


async def test_a_sink_has_the_time_that_it_is_given(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.ledger.hangs = True
    await Sinks(service.ledger, [], budget_s=0.01).record(Made().decision(1))
    assert "the ledger did not record the decision (no answer within 0.01 s)" in caplog.text
