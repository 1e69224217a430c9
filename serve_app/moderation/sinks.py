"""Where decisions go. No sink may touch the answer, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serve_app.answer_log import AnswerLogger
from serve_app.domain import Decision, Judged, Listed, Sink, Unscanned

logger = AnswerLogger(__name__)

SINK_BUDGET_S = 0.25
"""How long an answer may wait for a sink. It is not taken from the deadline: an answer may come half a second after
it, so that a decision of the last moment is recorded too."""


class Sinks:
    """Tells several sinks at once, each under a budget of its own: one that fails or hangs costs that much time."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._lost = dict.fromkeys(range(len(self._sinks)), 0)

    async def record(self, decision: Decision) -> None:
        """Have the decision recorded wherever that can be done."""
        await asyncio.gather(*(self._tell(number, sink, decision) for number, sink in enumerate(self._sinks)))

    async def _tell(self, number: int, sink: Sink, decision: Decision) -> None:
        try:
            async with asyncio.timeout(SINK_BUDGET_S):
                await sink.record(decision)
        except Exception as error:
            self._lost[number] += 1
            logger.error(
                "request %s: %s did not take the decision (%s); %d are lost since the start",
                decision.request_id,
                type(sink).__name__,
                told(error),
                self._lost[number],
            )


def told(error: Exception) -> str:
    """What a log line says of an error of a sink: never its text, which may hold anything."""
    return f"no answer within {SINK_BUDGET_S} s" if isinstance(error, TimeoutError) else type(error).__name__


class LogSink:
    """One line a decision, without a trace of the picture; a demo model says so each time."""

    async def record(self, decision: Decision) -> None:
        """See the port."""
        judged = decision.outcome if isinstance(decision.outcome, Judged) else None
        logger.info(
            "request %s: %s rule=%s margin=%s kept=%s bytes=%d type=%s views=%d ms=%.1f source=%s model=%s policy=%s"
            "%s%s",
            decision.request_id,
            _outcome(decision),
            judged.judgement.rule if judged else None,
            f"{judged.judgement.margin:+.3f}" if judged and judged.judgement.margin is not None else None,
            decision.kept,
            decision.body_bytes,
            judged.media_type if judged else None,
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
