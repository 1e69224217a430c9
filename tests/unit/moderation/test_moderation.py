"""Rules 1, 2 and 5 of the design over in-process ports: whatever fails, a decision comes, in time, and is recorded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    Decision,
    Judged,
    LabelScores,
    Lane,
    LoadSignals,
    ModelIdentity,
    OnUnscanned,
    OverloadedError,
    PolicyError,
    StalledError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
    UndecodableError,
    Unscanned,
    UnscannedError,
    UnscannedReason,
    UnsupportedError,
    Verdict,
    Views,
)
from serve_app.ledger import MemoryLedger
from serve_app.models.fake import FAKE_NOTICE
from serve_app.moderation import AdmissionControl, Moderator, Pipeline
from serve_app.policy import parse_policy

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED, GREEN = (255, 0, 0), (0, 255, 0)
ADMISSION = AdmissionControl(8.0)
LOGGER = "serve_app.moderation"
PORTS = pytest.mark.parametrize("port", ["preprocessor", "scorer"])


def in_time(seconds: float = 8.0) -> Deadline:
    return Deadline.after(seconds)


# Decisions


@pytest.mark.parametrize(
    ("colour", "verdict", "kept"),
    [("white", Verdict.ACCEPT, True), (GREEN, Verdict.FLAG, True), (RED, Verdict.REJECT, False)],
)
async def test_a_decision_says_all_there_is_to_say(
    service: Service, draw: Callable[..., bytes], colour: object, verdict: Verdict, kept: bool
) -> None:
    body = draw(colour, encoding="WEBP", lossless=True)
    decision = await service.moderator.moderate(Body.of(body), Call("r-1", in_time()))
    assert isinstance(decision.outcome, Judged)
    assert (decision.outcome.judgement.verdict, decision.kept) == (verdict, kept)
    assert (decision.outcome.media_type, decision.outcome.views_seen) == ("image/webp", 1)
    assert (decision.request_id, decision.body_bytes) == ("r-1", len(body))
    assert decision.sha256 == hashlib.sha256(body).hexdigest()
    assert decision.model == service.scorer.engine.identity
    assert (decision.policy, decision.policy_digest) == (service.policy.name, service.policy.digest)
    assert decision.decided_at.tzinfo is not None
    assert decision.elapsed_ms >= 0
    assert service.ledger.recorded == [decision]


async def test_time_is_read_from_the_clocks_that_were_given(service: Service, draw: Callable[..., bytes]) -> None:
    at = datetime(2025, 1, 31, 12, tzinfo=UTC)
    moderator = Moderator(
        service.policy,
        Pipeline(service.preprocessor, service.scorer),
        service.ledger,
        OnUnscanned.REJECT,
        ADMISSION,
        wall_clock=lambda: at,
    )
    ticks = iter(range(1000))
    decision = await moderator.moderate(Body.of(draw()), Call("r-1", Deadline(10_000.0, lambda: next(ticks))))
    assert decision.decided_at == at
    assert decision.elapsed_ms >= 1000, "whole seconds of the given clock"


async def test_a_decision_is_recorded_before_it_is_given(service: Service, draw: Callable[..., bytes]) -> None:
    service.ledger.hangs = True
    deciding = asyncio.create_task(service.moderator.moderate(Body.of(draw()), Call("r-1", in_time())))
    await service.ledger.entered.wait()
    assert not deciding.done()
    service.ledger.release.set()
    assert service.ledger.recorded == [await deciding]


# Faults


@PORTS
async def test_a_port_that_hangs_is_left_at_the_deadline(
    service: Service, draw: Callable[..., bytes], port: str
) -> None:
    getattr(service, port).hangs = True
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time(0.05)))
    assert (service.reason(decision), decision.kept) == (UnscannedReason.DEADLINE, False)
    assert service.ledger.recorded == [decision]


async def test_a_scorer_that_never_says_which_model_it_is_is_left_at_the_deadline(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: Deadline) -> ModelIdentity:
        await asyncio.Event().wait()
        raise AssertionError("never comes")

    monkeypatch.setattr(service.scorer, "identify", hang)
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time(0.05)))
    assert service.reason(decision) is UnscannedReason.DEADLINE
    with pytest.raises(DeadlineExceededError):
        await service.moderator.ready(in_time(0.05))


async def test_without_time_no_port_is_called(service: Service, draw: Callable[..., bytes]) -> None:
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time(-1)))
    assert service.reason(decision) is UnscannedReason.DEADLINE
    assert (service.preprocessor.calls, service.scorer.calls) == (0, 0)
    assert service.ledger.recorded == [decision]


@PORTS
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadlineExceededError("why"), UnscannedReason.DEADLINE),
        (OverloadedError("why"), UnscannedReason.OVERLOADED),
        (UnavailableError("why"), UnscannedReason.UNAVAILABLE),
    ],
)
async def test_a_port_that_could_not_is_believed(
    service: Service, draw: Callable[..., bytes], port: str, error: UnscannedError, reason: UnscannedReason
) -> None:
    getattr(service, port).fault = error
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time()))
    assert (decision.outcome, decision.kept) == (Unscanned(reason, "why"), False)
    assert service.ledger.recorded == [decision]


@PORTS
@pytest.mark.parametrize("error", [RuntimeError("hunter2"), ValueError("hunter2"), PolicyError("hunter2")])
async def test_an_unexpected_fault_is_logged_and_not_told(
    service: Service,
    draw: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    port: str,
    error: Exception,
) -> None:
    getattr(service, port).fault = error
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time()))
    assert service.reason(decision) is UnscannedReason.UNAVAILABLE
    assert "hunter2" not in str(decision.outcome)
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert logged.exc_info
    assert logged.exc_info[1] is error
    assert "r-1" in logged.getMessage()
    assert service.ledger.recorded == [decision]


async def test_a_scorer_that_is_not_there_yet_makes_a_picture_unscanned(
    service: Service, draw: Callable[..., bytes]
) -> None:
    service.scorer.asleep = UnavailableError("starting")
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time()))
    assert service.reason(decision) is UnscannedReason.UNAVAILABLE
    assert decision.model == ModelIdentity("fake", "", 0), "no model has been heard of"
    service.scorer.asleep = None
    assert isinstance((await service.moderator.moderate(Body.of(draw()), Call("r-2", in_time()))).outcome, Judged)


async def test_scores_that_are_no_numbers_are_no_judgement(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def score(views: Views, _: Deadline, __: Lane) -> LabelScores:
        cosines = service.scorer.engine.encode(views.pixels) * float("nan")
        return LabelScores(cosines, 100.0, service.scorer.engine.identity)

    monkeypatch.setattr(service.scorer, "score", score)
    decision = await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time()))
    assert (service.reason(decision), decision.kept) == (UnscannedReason.UNAVAILABLE, False)


@PORTS
async def test_a_caller_that_goes_away_ends_the_work_and_leaves_no_decision(
    service: Service, draw: Callable[..., bytes], port: str
) -> None:
    stage = getattr(service, port)
    stage.hangs = True
    deciding = asyncio.create_task(service.moderator.moderate(Body.of(draw()), Call("r-1", in_time())))
    await stage.entered.wait()
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert service.ledger.recorded == []


async def test_one_picture_that_fails_does_not_fail_its_neighbour(service: Service, draw: Callable[..., bytes]) -> None:
    decisions = await asyncio.gather(
        *(
            service.moderator.moderate(Body.of(body), Call(body[:4].hex(), in_time()))
            for body in (draw(RED), b"garbage", draw("white"))
        )
    )
    outcomes = [
        each.outcome.judgement.verdict if isinstance(each.outcome, Judged) else service.reason(each)
        for each in decisions
    ]
    assert outcomes == [Verdict.REJECT, UnscannedReason.UNSUPPORTED, Verdict.ACCEPT]


# Unscanned is decided by configuration

POLICY = parse_policy(
    "{policy: p, model: fake, concepts: {red: {score: cosine, prompts: [red]}},"
    " rules: [{name: r, verdict: reject, when: {concept: red, above: 0.5}}]}",
    "p.yaml",
)
ERROR_OF = {
    UnscannedReason.UNDECODABLE: UndecodableError,
    UnscannedReason.TRUNCATED: TruncatedError,
    UnscannedReason.UNSUPPORTED: UnsupportedError,
    UnscannedReason.TOO_LARGE: TooLargeError,
    UnscannedReason.DEADLINE: DeadlineExceededError,
    UnscannedReason.OVERLOADED: OverloadedError,
    UnscannedReason.UNAVAILABLE: UnavailableError,
}
PASSING = {UnscannedReason.DEADLINE, UnscannedReason.OVERLOADED, UnscannedReason.UNAVAILABLE}


class Failing:
    """A preprocessor and a scorer; what is asked of it fails, apart from its name."""

    def __init__(self, error: UnscannedError) -> None:
        self._error = error

    async def identify(self, _: Deadline) -> ModelIdentity:
        return ModelIdentity("fake", "0" * 64, 8)

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        raise self._error

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        raise self._error


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(list(UnscannedReason)), st.sampled_from(list(OnUnscanned)), st.binary(max_size=20))
async def test_only_what_may_be_sent_again_is_kept_and_only_where_that_is_configured(
    reason: UnscannedReason, on_unscanned: OnUnscanned, body: bytes
) -> None:
    failing = Failing(ERROR_OF[reason]("why"))
    moderator = Moderator(POLICY, Pipeline(failing, failing), MemoryLedger(1), on_unscanned, ADMISSION)
    decision = await moderator.moderate(Body.of(body), Call("r-1", in_time()))
    assert decision.outcome == Unscanned(reason, "why")
    assert decision.kept == (on_unscanned is OnUnscanned.ACCEPT and reason in PASSING)


async def test_bytes_that_stall_are_refused_also_where_what_is_late_is_let_through() -> None:
    failing = Failing(StalledError("twice"))
    moderator = Moderator(POLICY, Pipeline(failing, failing), MemoryLedger(1), OnUnscanned.ACCEPT, ADMISSION)
    decision = await moderator.moderate(Body.of(b"picture"), Call("r-1", in_time()))
    assert (decision.outcome, decision.kept) == (Unscanned(UnscannedReason.DEADLINE, "twice"), False)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(list(OnUnscanned)), st.binary(max_size=200))
async def test_no_bytes_are_a_fault(on_unscanned: OnUnscanned, body: bytes) -> None:
    failing = Failing(UnsupportedError("why"))
    decision = await Moderator(POLICY, Pipeline(failing, failing), MemoryLedger(1), on_unscanned, ADMISSION).moderate(
        Body.of(body), Call("r", in_time())
    )
    assert (decision.sha256, decision.kept) == (hashlib.sha256(body).hexdigest(), False)


# The log


@pytest.mark.parametrize("content", ["white", RED, GREEN, None])
async def test_a_decision_is_one_line_with_the_notice_and_nothing_of_the_picture(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture, content: object
) -> None:
    body = draw(RED)[:50] if content is None else draw(content)
    with caplog.at_level(logging.DEBUG, LOGGER):
        decision = await service.moderator.moderate(Body.of(body), Call("r-1", in_time()))
    (record,) = caplog.records
    line = record.getMessage()
    assert record.levelno == logging.INFO
    assert "\n" not in line
    assert line.startswith("request r-1: ")
    assert f"NOTICE: {FAKE_NOTICE}" in line
    assert str(decision.model) in line
    assert isinstance(record.args, tuple)
    assert not any(isinstance(argument, bytes | Decision | Views) for argument in record.args)
    for part in (body, body[-40:]):
        for text in (part.hex(), base64.b64encode(part).decode(), repr(part)[2:-1], part.decode("latin-1")):
            assert text not in line


async def test_the_notice_stays_while_the_scorer_is_away(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    await service.moderator.ready(in_time())
    service.scorer.fault = UnavailableError("died")
    with caplog.at_level(logging.INFO, LOGGER):
        for _ in range(2):
            await service.moderator.moderate(Body.of(draw()), Call("r-1", in_time()))
    assert [FAKE_NOTICE in record.getMessage() for record in caplog.records] == [True, True]
