"""What every sink does with every kind of decision: the log, and each ledger."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.domain import Decision, Listed, ListMatch, Outcome, Sink, Unscanned, UnscannedReason, Verdict
from serve_app.moderation import LogSink
from tests.contract.conftest import LEDGERS, Made, opened_ledger

OUTCOMES: tuple[Outcome, ...] = (
    *(Made().judged(verdict) for verdict in Verdict),
    Made().judged(is_truncated=True),
    Listed(Verdict.REJECT, "a bank", "7", "known"),
    Listed(Verdict.ACCEPT, "größer", "7", "", ListMatch.PERCEPTUAL, distance_bits=12, frame=3),
    *(Unscanned(reason, "why") for reason in UnscannedReason),
)


@pytest.fixture(params=["log", *LEDGERS])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    with contextlib.ExitStack() as opened:
        yield (
            LogSink()
            if request.param == "log"
            else opened.enter_context(opened_ledger(request, request.param, tmp_path))
        )


@pytest.mark.parametrize("kept", [False, True])
async def test_every_decision_is_recorded_once_or_twice_and_many_at_once(sink: Sink, made: Made, kept: bool) -> None:
    decisions = [made.decision(number, outcome, kept=kept) for number, outcome in enumerate(OUTCOMES)]
    await asyncio.gather(*(sink.record(decision) for decision in decisions))
    for decision in decisions:
        await sink.record(decision)


@pytest.mark.parametrize("missing", ["examination", "fingerprints", "model", "source"])
async def test_a_decision_that_lacks_something_is_recorded(sink: Sink, made: Made, missing: str) -> None:
    decision = made.decision(1)
    lacking: dict[str, Decision] = {
        "examination": dataclasses.replace(decision, examination=None, labels=()),
        "fingerprints": made.decision(1, examination=dataclasses.replace(made.examination(), fingerprints=())),
        "model": made.decision(
            1,
            Unscanned(UnscannedReason.UNAVAILABLE, "starting"),
            model=dataclasses.replace(made.model, digest="", image_size_px=0, notice=None, derived_from=None),
        ),
        "source": dataclasses.replace(decision, source=""),
    }
    await sink.record(lacking[missing])


async def test_no_fingerprint_is_logged(sink: Sink, made: Made, caplog: pytest.LogCaptureFixture) -> None:
    decision = made.decision(1)
    assert decision.examination is not None
    with caplog.at_level(logging.DEBUG):
        await sink.record(decision)
    for fingerprint in decision.examination.fingerprints:
        assert fingerprint.pdq.hex() not in caplog.text
        assert repr(fingerprint.pdq) not in caplog.text
