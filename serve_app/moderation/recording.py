"""Where decisions go: the ledger, then the log. Neither may touch the answer, whatever becomes of it."""

from __future__ import annotations

import asyncio

from serve_app.answer_log import AnswerLogger
from serve_app.domain import Decision, Examination, Ledger, ModelIdentity

logger = AnswerLogger(__name__)

LEDGER_BUDGET_S = 0.25
"""How long an answer may wait for the ledger. It is not taken from the deadline: an answer may come half a second after
it, so that a decision of the last moment is recorded too."""


class Recorder:
    """Asks and tells one ledger, under a budget: one that fails or hangs costs that much time and no verdict."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lost = 0

    async def recall(self, sha256: str, model: ModelIdentity, policy_digest: str) -> Decision | None:
        """The ledger's decision with a judgement on these bytes; none also where the ledger fails or hangs."""
        try:
            async with asyncio.timeout(LEDGER_BUDGET_S):
                return await self._ledger.find(sha256, model.digest, policy_digest)
        except Exception as error:
            logger.error("the ledger was asked for an earlier decision and failed: %s", _told(error))
            return None

    async def record(self, decision: Decision) -> None:
        """Have the decision recorded and logged, if that can be done."""
        try:
            async with asyncio.timeout(LEDGER_BUDGET_S):
                await self._ledger.record(decision)
        except Exception as error:
            self._lost += 1
            logger.error(
                "request %s: the ledger did not take the decision (%s); %d are lost since the start",
                decision.request_id,
                _told(error),
                self._lost,
            )
        _log(decision)


def _told(error: Exception) -> str:
    return f"no answer within {LEDGER_BUDGET_S} s" if isinstance(error, TimeoutError) else type(error).__name__


def _log(decision: Decision) -> None:
    """One line a decision, without a trace of the picture; a demo model says so each time."""
    seen = decision.outcome if isinstance(decision.outcome, Examination) else None
    logger.info(
        "request %s: %s rule=%s margin=%s kept=%s bytes=%d type=%s views=%d ms=%.1f model=%s policy=%s%s%s",
        decision.request_id,
        seen.judgement.verdict if seen else f"unscanned ({decision.outcome})",
        seen.judgement.rule if seen else None,
        f"{seen.judgement.margin:+.3f}" if seen and seen.judgement.margin is not None else None,
        decision.kept,
        decision.body_bytes,
        seen.media_type if seen else None,
        seen.views_seen if seen else 0,
        decision.elapsed_ms,
        decision.model,
        decision.policy,
        " pending" if decision.is_pending else "",
        f" NOTICE: {decision.model.notice}" if decision.model.notice else "",
    )
