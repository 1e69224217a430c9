"""Pictures that were accepted, and that the policy of today rejects by their recorded scores.

No picture is read again. Scores of another model, or without a label of the policy, cannot be judged, and are counted.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from serve_app.domain import Decision, DecisionArchive, RecordedDecision, Verdict
from serve_app.domain.lists import ListKind
from serve_app.lists.snapshot import Snapshot
from serve_app.policy import (
    Insufficient,
    Policies,
    Policy,
    RecordedJudgement,
    insufficiency_of,
    judge_recorded,
    may_reject,
)
from serve_app.storage.hunt.by_lists import deciding_match
from serve_app.storage.hunt.pace import Pace, in_thread
from serve_app.storage.hunt.suspects import Likeliest, Suspect, decisions_on, fingerprints_of

if TYPE_CHECKING:
    from serve_app.ledger.body_scans import BodyScans
    from serve_app.ledger.rows import Context
    from serve_app.ledger.score_scan import ScoredBodies

_ByInsufficiency = Mapping[Insufficient | None, Collection[int]]


@dataclass(slots=True)
class Unjudged:
    """How many accepted bodies could not be judged.

    Of ``forgotten`` ones the scores are not recorded any more; ``other_model`` ones have scores of another model alone;
    ``missing_labels`` ones were never scored for a label of the policy; ``uncertain`` ones are so near to the line of a
    rule that the rounding of the recorded scores may decide.
    """

    forgotten: int = 0
    other_model: int = 0
    missing_labels: int = 0
    uncertain: int = 0

    @property
    def told(self) -> str:
        """For people; empty if all could be judged."""
        reasons = (
            (self.forgotten, "their scores are not recorded any more"),
            (self.other_model, "another model scored them"),
            (self.missing_labels, "a label of the policy was never scored"),
            (self.uncertain, "too near to a line for rounded scores"),
        )
        return "; ".join(f"{count:,}: {reason}" for count, reason in reasons if count)


@dataclass(slots=True)
class PolicyHunt:
    """One hunt by policies.

    ``policies`` judge the pictures of the sources; ``lists_of`` are all lists as they are for a source, since an entry
    that allows a picture protects it; pict-rs ``may_store`` the picture of a decision. What could not
    be judged is in ``unjudged`` after :meth:`suspects`.
    """

    archive: DecisionArchive
    bodies: BodyScans
    policies: Policies
    policy_of: Callable[[str], Policy]
    lists_of: Callable[[str], Snapshot]
    may_store: Callable[[Decision], bool]
    now: datetime
    unjudged: Unjudged = field(default_factory=Unjudged)

    async def count(self) -> int:
        """How many bodies will be judged."""
        contexts = await self._contexts()
        return await in_thread(self.bodies.count_scored, _judgeable(contexts.values()))

    async def suspects(self, pace: Pace) -> AsyncGenerator[Suspect, None]:
        """The pictures that were let through, and that a rule rejects today. Of each body one decision."""
        contexts = await self._contexts()
        judgeable, found = _judgeable(contexts.values()), set[bytes]()
        scan = pace.parts(lambda: self.bodies.all_scores(judgeable), lambda part: len(part.sha256))
        async with contextlib.aclosing(scan) as parts:
            async for part in parts:
                for body in await in_thread(self._candidates, part):
                    sha256 = part.sha256[body].tobytes()
                    # Two models may have scored the same bytes.
                    if sha256 not in found:
                        found.add(sha256)
                        suspect = await self._rejected(sha256.hex())
                        if suspect is not None:
                            yield suspect
        await self._count_unjudged(contexts)

    def _candidates(self, part: ScoredBodies) -> list[int]:
        candidates = [
            may_reject(policy, part.scores, part.labels, part.firsts)
            for policy in self.policies.each
            if insufficiency_of(policy, part.scores.model, part.labels) is None
        ]
        return np.unique(np.concatenate(candidates)).tolist() if candidates else []

    async def _rejected(self, sha256: str) -> Suspect | None:
        """Judged by the newest scores that can be: those of a decision that let it through, or of a later one."""
        examined: list[RecordedDecision] = []
        likeliest, is_uncertain = Likeliest(self.may_store), False
        fingerprints = await fingerprints_of(self.archive, sha256)
        async for recorded in decisions_on(self.archive, sha256):
            if recorded.decision.examination is not None:
                examined.append(recorded)
            if not recorded.decision.kept or likeliest.is_less_likely(recorded.decision):
                continue
            policy = self.policy_of(recorded.decision.source)
            judged = next(filter(None, (_judged(policy, each) for each in examined)), None)
            if judged is None or judged.severest is not Verdict.REJECT:
                continue
            lists = self.lists_of(recorded.decision.source)
            match = await in_thread(deciding_match, lists, sha256, fingerprints, self.now)
            if match is not None and match.entry.kind is ListKind.ALLOW:
                continue
            if judged.mildest is not Verdict.REJECT:
                is_uncertain = True
                continue
            likeliest.take(Suspect(recorded, judged.judgement, fingerprints))
        if is_uncertain and likeliest.suspect is None:
            self.unjudged.uncertain += 1
        return likeliest.suspect

    async def _contexts(self) -> Mapping[str, _ByInsufficiency]:
        """By the digest of each policy, and by why it cannot judge them (None: it can)."""
        known = await in_thread(self.bodies.contexts)
        return {policy.digest: _sorted(policy, known) for policy in self.policies.each}

    async def _count_unjudged(self, contexts: Mapping[str, _ByInsufficiency]) -> None:
        own = self.policies.of_sources
        for policy in self.policies.each:
            sources = [name for name, each in own.items() if each.digest == policy.digest]
            is_of_service = policy.digest == self.policies.of_service.digest
            others = [name for name in own if name not in sources] if is_of_service else ()
            of_policy = contexts[policy.digest]
            counted = await in_thread(
                self.bodies.count_unscored,
                of_policy[None],
                [of_policy[Insufficient.MISSING_LABELS], of_policy[Insufficient.OTHER_MODEL]],
                None if is_of_service else sources,
                but=others,
            )
            self.unjudged.forgotten += counted.forgotten
            self.unjudged.missing_labels += counted.other[0]
            self.unjudged.other_model += counted.other[1]


def _sorted(policy: Policy, contexts: Mapping[int, Context]) -> _ByInsufficiency:
    found: dict[Insufficient | None, set[int]] = defaultdict(set)
    for key, context in contexts.items():
        found[insufficiency_of(policy, context.model, context.labels)].add(key)
    return found


def _judgeable(contexts: Collection[_ByInsufficiency]) -> Collection[int]:
    return {key for each in contexts for key in each[None]}


def _judged(policy: Policy, recorded: RecordedDecision) -> RecordedJudgement | None:
    examination = recorded.decision.examination
    judged = judge_recorded(policy, examination.scores if examination else None, recorded.decision.labels)
    return judged if isinstance(judged, RecordedJudgement) else None
