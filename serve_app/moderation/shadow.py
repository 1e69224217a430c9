"""A policy on trial: it judges what the service scans, and decides nothing."""

from __future__ import annotations

from dataclasses import replace

from serve_app.domain import Decision, Judged, Judgement, ShadowJudgement, in_words
from serve_app.logs import EventLogger
from serve_app.policy import Policy, evaluate

logger = EventLogger(__name__)


class ShadowPolicy:
    """Notes in each decision, and in the log, where the policy on trial would have given another verdict."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._judged = 0
        self._differing = 0

    def beside(self, decision: Decision) -> Decision:
        """``decision``, with the judgement of the policy on trial where its verdict is another one.

        A picture whose scores lack one of the policy's prompts is left out: one that was recalled, and was scored
        before the policy was on trial. A policy that fails changes nothing.
        """
        try:
            judgement = self._judge(decision)
        except Exception as error:
            why = in_words(error)
            logger.error(
                "shadow_failed",
                f"the shadow policy {self._policy} failed: {why}",
                request_id=decision.request_id,
                policy=self._policy,
                why=why,
            )
            return decision
        if judgement is None:
            return decision
        self._judged += 1
        if judgement.verdict is decision.verdict:
            return decision
        self._differing += 1
        margin = "unknown" if judgement.margin is None else f"{judgement.margin:+.3f}"
        logger.info(
            "shadow_differs",
            f"the shadow policy {self._policy} would {judgement.verdict}, rule={judgement.rule} margin={margin}, and "
            f"not {decision.verdict}, rule={decision.rule}; it differs on {self._differing} of {self._judged} pictures "
            "since the start",
            request_id=decision.request_id,
            policy=self._policy,
            verdict=judgement.verdict,
            rule=judgement.rule,
            margin=judgement.margin,
            decided_verdict=decision.verdict,
            decided_rule=decision.rule,
            differing=self._differing,
            judged=self._judged,
        )
        return replace(
            decision,
            shadow_judgement=ShadowJudgement(
                judgement.verdict,
                judgement.rule,
                judgement.margin,
                self._policy.name,
                self._policy.digest,
            ),
        )

    def _judge(self, decision: Decision) -> Judgement | None:
        """The judgement of the policy on trial; None where there is nothing to judge."""
        examination = decision.examination
        if examination is None or not isinstance(decision.outcome, Judged):
            return None
        scores = examination.scores.picked(decision.labels, self._policy.labels)
        if scores is None:
            return None
        self._policy.require_model(scores.model)
        return evaluate(self._policy, scores)
