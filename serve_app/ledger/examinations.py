"""Examinations of recently scanned bodies, in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from serve_app.domain import Decision, Examination, Judged, Recollection

# Of an examination without its arrays: the objects around them.
_OBJECT_BYTES = 2000


@dataclass(frozen=True, slots=True)
class _Kept:
    recollection: Recollection
    size_bytes: int


class RecentExaminations:
    """Examinations by body and model; the one that was used least recently leaves first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, decision: Decision) -> None:
        """Keep the examination of ``decision``, if it has one."""
        if decision.examination is None:
            return
        key = decision.sha256, decision.model.digest
        judged = decision.outcome if isinstance(decision.outcome, Judged) else None
        policy_digest = decision.policy_digest if judged else None
        earlier = self._kept.get(key)
        if judged is None and earlier is not None:
            # The latest judgement is the policy's, also where a list decided since.
            judged, policy_digest = earlier.recollection.judged, earlier.recollection.policy_digest
        recollection = Recollection(decision.examination, decision.labels, judged, policy_digest)
        self.drop(*key)
        self._kept[key] = _Kept(recollection, _size_bytes(decision.examination))
        self._bytes += self._kept[key].size_bytes
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self.drop(*next(iter(self._kept)))

    def get(self, sha256: str, model_digest: str) -> Recollection | None:
        """What is kept of these bytes and this model."""
        kept = self._kept.get((sha256, model_digest))
        if kept is None:
            return None
        self._kept.move_to_end((sha256, model_digest))
        return kept.recollection

    def drop(self, sha256: str, model_digest: str) -> Recollection | None:
        """Forget one, and return it; None if it was not there."""
        kept = self._kept.pop((sha256, model_digest), None)
        if kept is None:
            return None
        self._bytes -= kept.size_bytes
        return kept.recollection


def _size_bytes(examination: Examination) -> int:
    fingerprints = sum(len(each.hashes) for each in examination.fingerprints)
    return _OBJECT_BYTES + examination.scores.values.nbytes + fingerprints
