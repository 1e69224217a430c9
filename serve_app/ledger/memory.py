"""The latest decisions of one process, in its memory."""

from __future__ import annotations

from collections import OrderedDict

from serve_app.domain import Decision, Judged


class MemoryLedger:
    """Stores at most ``kept_decisions``; the oldest one leaves first."""

    def __init__(self, kept_decisions: int = 10_000) -> None:
        if kept_decisions < 1:
            raise ValueError("a ledger stores at least one decision")
        self._kept_decisions = kept_decisions
        self._by_request: OrderedDict[str, Decision] = OrderedDict()
        self._judged: dict[tuple[str, str, str], str] = {}

    async def record(self, decision: Decision) -> None:
        """See :class:`~serve_app.domain.Ledger`."""
        self._by_request[decision.request_id] = decision
        if isinstance(decision.outcome, Judged):
            self._judged[_key(decision)] = decision.request_id
        while len(self._by_request) > self._kept_decisions:
            request_id, oldest = self._by_request.popitem(last=False)
            if self._judged.get(_key(oldest)) == request_id:
                del self._judged[_key(oldest)]

    async def find(self, sha256: str, model_digest: str, policy_digest: str) -> Decision | None:
        """See :class:`~serve_app.domain.Ledger`."""
        request_id = self._judged.get((sha256, model_digest, policy_digest))
        return None if request_id is None else self._by_request[request_id]


def _key(decision: Decision) -> tuple[str, str, str]:
    return decision.sha256, decision.model.digest, decision.policy_digest
