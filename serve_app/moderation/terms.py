"""The terms of a source: by what its pictures are decided about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from serve_app.domain import (
    Deadline,
    Decision,
    Examination,
    Examiner,
    Judged,
    LabelScores,
    ModelIdentity,
    OnUnscanned,
    StalledError,
    UnscannableError,
    UnscannedError,
)
from serve_app.moderation.shadow import ShadowPolicy
from serve_app.policy import Policy, evaluate, labels_of


@dataclass(frozen=True, slots=True)
class StandIn:
    """A policy over an examiner for its labels, while those of all terms are unavailable; ``suffices`` as there."""

    policy: Policy
    examiner: Examiner
    suffices: bool = False


class Terms:
    """A policy over an examiner for its labels, the banks of the lists, and the answer without a scan."""

    def __init__(
        self,
        policy: Policy,
        examiner: Examiner,
        on_unscanned: OnUnscanned,
        *,
        shadow: Policy | None = None,
        banks: Collection[str] | None = None,
        stand_in: Terms | None = None,
        suffices: bool = False,
    ) -> None:
        """Create them.

        Args:
            policy: that decides.
            examiner: scores the labels of both policies (:func:`serve_app.policy.labels_of`).
            on_unscanned: whether a picture that could not be scanned may be stored.
            shadow: a policy on trial, which decides nothing.
            banks: of the lists, those that apply; None if all do.
            stand_in: by which an upload is looked at while the examiner is unavailable. What they reject is rejected;
                what they let through is stored, and waits for these terms.
            suffices: whether what these terms let through in the place of others waits for nothing.
        """
        self.policy = policy
        self.labels = labels_of(policy, shadow)
        self.examiner = examiner
        self.on_unscanned = on_unscanned
        self.banks = banks
        self.stand_in = stand_in
        self.suffices = suffices
        self._shadow = ShadowPolicy(shadow) if shadow is not None else None
        self._last_heard_of: ModelIdentity | None = None

    @property
    def model(self) -> ModelIdentity:
        """The latest known model; before the first answer of a scorer, the policy's name for it and no digest."""
        return self._last_heard_of or ModelIdentity(" + ".join(self.policy.models), "", 0)

    @property
    def last_heard_of(self) -> ModelIdentity | None:
        """The latest known model, also where no scorer is there; None before the first answer of one."""
        return self._last_heard_of

    @property
    def is_model_known(self) -> bool:
        """Whether the examiner's model is known, and is the policy's."""
        return self.examiner.model is not None and self.examiner.model == self._last_heard_of

    async def ready(self, deadline: Deadline) -> ModelIdentity:
        """Wait until a model is warm, and check that the policy belongs to it.

        Raises:
            NotScannedError: no scorer answered within the deadline.
            PolicyError: the policy's thresholds belong to another model.
        """
        identity = await self.examiner.identify(deadline)
        self.hear_of(identity)
        return identity

    def judge(self, examination: Examination, scores: LabelScores) -> Judged:
        """The policy's judgement; the columns of ``scores`` are its labels.

        Raises:
            PolicyError: they are of another model than the policy's.
        """
        self.hear_of(examination.scores.model)
        judgement = evaluate(self.policy, scores)
        return Judged(
            judgement=judgement,
            place=examination.places[judgement.view],
            media_type=examination.media_type,
            views_seen=len(examination.places),
            frames_seen=examination.frames_seen,
            frames_total=examination.frames_total,
            is_truncated=examination.is_truncated,
        )

    def beside(self, decision: Decision) -> Decision:
        """``decision``, with what the policy on trial says, if there is one."""
        return self._shadow.beside(decision) if self._shadow is not None else decision

    def keeps_unscanned(self, error: UnscannedError) -> bool:
        """Whether the image server may store a picture that was not scanned because of ``error``."""
        if isinstance(error, UnscannableError | StalledError):
            return False
        return self.on_unscanned is OnUnscanned.ACCEPT

    def hear_of(self, identity: ModelIdentity) -> None:
        """Take note that the examiner's model is ``identity``.

        Raises:
            PolicyError: the policy's thresholds belong to another model.
        """
        if identity != self._last_heard_of:
            self.policy.require_model(identity)
            self._last_heard_of = identity
