"""Sinks for decisions. A sink that fails or hangs changes no verdict, and delays an answer by its budget at most."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from serve_app.domain import Decision, Judged, Ledger, Listed, Sink, Unscanned, UnscannedReason, in_words
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

RECALL_BUDGET_S = 0.05
"""Seconds that an answer may wait for what a ledger knows of the same bytes."""

SINK_BUDGET_S = 0.2
"""Seconds that an answer may wait for a sink. They may lie behind the deadline, within the half second that an answer
may be late, so that a decision of the last moment is recorded too. Together with :data:`RECALL_BUDGET_S`: a ledger
that hangs costs a picture a quarter of a second."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long a decision waits for others, in seconds: as long as an answer may, unless nobody waits for it."""

    recall_s: float = RECALL_BUDGET_S
    sink_s: float = SINK_BUDGET_S


ANSWERING: Final = Budgets()
"""Somebody waits for the answer."""


class Sinks:
    """Records in the ledger and in other sinks, each under a time budget of its own."""

    def __init__(
        self,
        ledger: Ledger,
        others: Sequence[Sink],
        count: Callable[[Decision], None] | None = None,
        budget_s: float = SINK_BUDGET_S,
    ) -> None:
        """``count`` is told of each decision that is answered. It returns at once: a sink takes ten times as long."""
        self._sinks: tuple[Sink, ...] = (ledger, *others)
        self._count = count
        self._budget_s = budget_s
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
        if self._count is not None:
            with contextlib.suppress(Exception):  # a count changes no answer
                self._count(decision)
        return decision

    async def _tell(self, number: int, sink: Sink, decision: Decision) -> bool:
        try:
            async with asyncio.timeout(self._budget_s):
                await sink.record(decision)
        except Exception as error:
            self._lost[number] += 1
            name = "log" if number else "ledger"
            why, lost = told(error, self._budget_s), self._lost[number]
            logger.error(
                "decision_not_recorded",
                f"the {name} did not record the decision ({why}); it has lost {lost} since the start",
                request_id=decision.request_id,
                sink=name,
                why=why,
                lost=lost,
            )
            return False
        return True


def _refused(decision: Decision) -> Decision:
    text = "the picture is refused, since no ledger recorded that it must be scanned later"
    logger.error("refused_unrecorded", text, request_id=decision.request_id)
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
            "decision",
            partial(_in_words, decision),
            request_id=decision.request_id,
            verdict=decision.verdict,
            reason=decision.reason,
            rule=decision.rule,
            margin=_margin(decision),
            bank=decision.outcome.bank if isinstance(decision.outcome, Listed) else None,
            kept=decision.kept,
            is_pending=decision.is_pending,
            sha256=decision.sha256,
            body_bytes=decision.body_bytes,
            media_type=_media_type(decision),
            views=judged.views_seen if judged else 0,
            elapsed_ms=round(decision.elapsed_ms, 1),
            source=decision.source,
            lane=decision.lane,
            model=decision.model,
            worker=decision.worker,
            policy=decision.policy,
            notice=decision.model.notice,
        )


def _in_words(decision: Decision) -> str:
    judged = decision.outcome if isinstance(decision.outcome, Judged) else None
    margin = f"{judged.judgement.margin:+.3f}" if judged and judged.judgement.margin is not None else None
    return (
        f"{_outcome(decision)} rule={decision.rule} margin={margin} kept={decision.kept} sha256={decision.sha256} "
        f"bytes={decision.body_bytes} type={_media_type(decision)} views={judged.views_seen if judged else 0} "
        f"ms={decision.elapsed_ms:.1f} source={decision.source} model={decision.model} policy={decision.policy}"
        f"{f' worker={decision.worker}' if decision.worker else ''}"
        f"{' pending' if decision.is_pending else ''}"
        f"{f' NOTICE: {decision.model.notice}' if decision.model.notice else ''}"
    )


def _margin(decision: Decision) -> float | None:
    margin = decision.outcome.judgement.margin if isinstance(decision.outcome, Judged) else None
    return None if margin is None else round(margin, 4)


def _media_type(decision: Decision) -> str | None:
    return None if isinstance(decision.outcome, Unscanned) else decision.outcome.media_type


def _outcome(decision: Decision) -> str:
    match decision.outcome:
        case Judged(judgement=judgement):
            return judgement.verdict
        case Listed(verdict=verdict, bank=bank):
            return f"{verdict} (listed in {bank})"
        case Unscanned(reason=reason):
            return f"unscanned ({reason})"
