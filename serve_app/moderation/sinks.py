"""Sinks for decisions. A sink that fails or hangs changes no verdict, and delays an answer by its budget at most."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from serve_app.answer_log import AnswerLogger
from serve_app.domain import Decision, Judged, Ledger, Listed, Sink, Unscanned, UnscannedReason, in_words

logger = AnswerLogger(__name__)

RECALL_BUDGET_S = 0.05
"""Seconds that an answer may wait for what a ledger knows of the same bytes."""

SINK_BUDGET_S = 0.2
"""Seconds that an answer may wait for a sink. They may lie behind the deadline, within the half second that an answer
may be late, so that a decision of the last moment is recorded too. Together with :data:`RECALL_BUDGET_S`: a ledger
that hangs costs a picture a quarter of a second."""


class Sinks:
    """Records in the ledger and in other sinks, each under a time budget of its own."""

    def __init__(self, ledger: Ledger, others: Sequence[Sink]) -> None:
        self._sinks: tuple[Sink, ...] = (ledger, *others)
        self._lost = dict.fromkeys(range(len(self._sinks)), 0)

    async def record(self, decision: Decision) -> Decision:
        """Record the decision in every sink that works: what is answered.

        A pending decision that the ledger does not take becomes a refusal, because nobody would scan its picture later.
        So the others are told of it after the ledger: they tell what is answered.
        """
        ledger, *others = enumerate(self._sinks)
        if decision.is_pending:
            if not await self._tell(*ledger, decision):
                decision = _refused(decision)
        else:
            others.insert(0, ledger)
        await asyncio.gather(*(self._tell(*each, decision) for each in others))
        return decision

    async def _tell(self, number: int, sink: Sink, decision: Decision) -> bool:
        try:
            async with asyncio.timeout(SINK_BUDGET_S):
                await sink.record(decision)
        except Exception as error:
            self._lost[number] += 1
            logger.error(
                "request %s: %s did not record the decision (%s); it has lost %d since the start",
                decision.request_id,
                type(sink).__name__ if number else "the ledger",
                told(error, SINK_BUDGET_S),
                self._lost[number],
            )
            return False
        return True


def _refused(decision: Decision) -> Decision:
    logger.error(
        "request %s: the picture is refused, since no ledger recorded that it must be scanned later",
        decision.request_id,
    )
    lost = Unscanned(UnscannedReason.UNAVAILABLE, "the ledger cannot record that the picture must be scanned later")
    return replace(decision, outcome=lost, kept=False)


def told(error: Exception, budget_s: float) -> str:
    """A sink's error for a log line."""
    return f"no answer within {budget_s} s" if isinstance(error, TimeoutError) else in_words(error)


class LogSink:
    """Logs one line per decision, free of picture content; a demo model adds its notice to each."""

    async def record(self, decision: Decision) -> None:
        """See the port."""
        judged = decision.outcome if isinstance(decision.outcome, Judged) else None
        logger.info(
            "request %s: %s rule=%s margin=%s kept=%s sha256=%s bytes=%d type=%s views=%d ms=%.1f source=%s model=%s "
            "policy=%s%s%s",
            decision.request_id,
            _outcome(decision),
            judged.judgement.rule if judged else None,
            f"{judged.judgement.margin:+.3f}" if judged and judged.judgement.margin is not None else None,
            decision.kept,
            decision.sha256,
            decision.body_bytes,
            None if isinstance(decision.outcome, Unscanned) else decision.outcome.media_type,
            judged.views_seen if judged else 0,
            decision.elapsed_ms,
            decision.source,
            decision.model,
            decision.policy,
            " pending" if decision.is_pending else "",
            f" NOTICE: {decision.model.notice}" if decision.model.notice else "",
        )


def _outcome(decision: Decision) -> str:
    match decision.outcome:
        case Judged(judgement=judgement):
            return judgement.verdict
        case Listed(verdict=verdict, bank=bank):
            return f"{verdict} (listed in {bank})"
        case Unscanned(reason=reason):
            return f"unscanned ({reason})"
