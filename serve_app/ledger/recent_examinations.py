"""Examinations of recently scanned bodies, in memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from serve_app.domain import Decision, Examination, Judged, Recollection
from serve_app.domain.workers import Doubt

# Of an examination without its arrays: the objects around them.
_OBJECT_BYTES = 2000

_MOST_DOUBTS: Final = 1000
"""Remembered for decisions on their way, which are seconds old."""


@dataclass(frozen=True, slots=True)
class _Recent:
    recollection: Recollection
    scored_at: datetime
    size_bytes: int


class RecentExaminations:
    """Examinations by body and model; the one that was used least recently leaves first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._recent: OrderedDict[tuple[str, str], _Recent] = OrderedDict()
        self._doubts: deque[Doubt] = deque(maxlen=_MOST_DOUBTS)

    def __len__(self) -> int:
        return len(self._recent)

    def add(self, decision: Decision) -> None:
        """Remember the examination of ``decision``, if it has one whose scores are not in doubt."""
        if decision.examination is None:
            return
        worker = decision.examination.scores.worker
        if any(doubt.includes(worker, decision.decided_at) for doubt in self._doubts):
            return
        key = decision.sha256, decision.model.digest
        judged = decision.outcome if isinstance(decision.outcome, Judged) else None
        policy_digest = decision.policy_digest if judged else None
        earlier = self._recent.get(key)
        if judged is None and earlier is not None:
            # The latest judgement is the policy's, also where a list decided since.
            judged, policy_digest = earlier.recollection.judged, earlier.recollection.policy_digest
        recollection = Recollection(decision.examination, decision.labels, judged, policy_digest)
        self.drop(*key)
        scored_at = decision.decided_at
        if earlier is not None and decision.examination.is_recalled:
            scored_at = earlier.scored_at
        self._recent[key] = _Recent(recollection, scored_at, _size_bytes(decision.examination))
        self._bytes += self._recent[key].size_bytes
        while self._bytes > self._max_bytes and len(self._recent) > 1:
            self.drop(*next(iter(self._recent)))

    def get(self, sha256: str, model_digest: str) -> Recollection | None:
        """What is known of these bytes and this model."""
        recent = self._recent.get((sha256, model_digest))
        if recent is None:
            return None
        self._recent.move_to_end((sha256, model_digest))
        return recent.recollection

    def drop_in_doubt(self, doubt: Doubt) -> None:
        """Forget those whose scores are in doubt, and remember none that come later."""
        if doubt not in self._doubts:
            self._doubts.append(doubt)
        wrong = [
            key
            for key, each in self._recent.items()
            if doubt.includes(each.recollection.examination.scores.worker, each.scored_at)
        ]
        for key in wrong:
            self.drop(*key)

    def drop(self, sha256: str, model_digest: str) -> Recollection | None:
        """Forget one, and return it; None if it was not there."""
        recent = self._recent.pop((sha256, model_digest), None)
        if recent is None:
            return None
        self._bytes -= recent.size_bytes
        return recent.recollection


def _size_bytes(examination: Examination) -> int:
    fingerprints = sum(len(each.hashes) for each in examination.fingerprints)
    return _OBJECT_BYTES + examination.scores.values.nbytes + fingerprints
