"""A policy on trial: it judges what the service scans, and decides nothing."""

from __future__ import annotations

from serve_app.answer_log import AnswerLogger
from serve_app.domain import Decision, Judged
from serve_app.policy import Policy, evaluate

logger = AnswerLogger(__name__)


class ShadowSink:
    """:class:`serve_app.domain.Sink` that logs each decision which the shadow policy would have made otherwise."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._judged = 0
        self._differing = 0

    async def record(self, decision: Decision) -> None:
        """See the port. A picture whose scores lack one of the policy's prompts is left out.

        That is one that was recalled, and was scored before the policy was on trial.

        Raises:
            PolicyError: the policy belongs to another model.
        """
        examination = decision.examination
        if examination is None or not isinstance(decision.outcome, Judged):
            return
        scores = examination.scores.picked(decision.labels, self._policy.labels)
        if scores is None:
            return
        self._policy.require_model(scores.model)
        judgement = evaluate(self._policy, scores)
        self._judged += 1
        if judgement.verdict is decision.verdict:
            return
        self._differing += 1
        logger.info(
            "request %s: the shadow policy %s would %s, rule=%s margin=%+.3f, and not %s, rule=%s; it differs on %d of "
            "%d pictures since the start",
            decision.request_id,
            self._policy,
            judgement.verdict,
            judgement.rule,
            judgement.margin,
            decision.verdict,
            decision.rule,
            self._differing,
            self._judged,
        )
