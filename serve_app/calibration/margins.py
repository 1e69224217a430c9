"""How far each rule of a policy is over its line on each picture: the one number that a calibration looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.calibration.pictures import ScoredPicture
from serve_app.policy import Policy, margins_of, rounding_errors

FloatArray = NDArray[np.float64]


def rule_margins(
    policy: Policy, pictures: Sequence[ScoredPicture], *, with_rounding: bool = False
) -> Mapping[str, FloatArray]:
    """For each rule, its margin on the worst view of each picture, ``(pictures,)``: it holds where this is over zero.

    Minus infinity where the rule cannot hold, since a score that it needs is unknown.

    Args:
        policy: judges.
        pictures: have the scores for its labels.
        with_rounding: add the most by which a database may have rounded the rule's margin down, so that a rule that may
            hold counts as one that holds.

    Raises:
        PolicyError: the scores are another model's.
        UnavailableError: a score is not a finite number.
    """
    for model in {picture.scores.model for picture in pictures}:
        policy.require_model(model)
    worst: dict[str, list[float]] = {rule.name: [] for rule in policy.rules}
    for picture in pictures:
        errors = rounding_errors(policy, picture.scores) if with_rounding else {}
        margins = margins_of(policy, picture.scores)
        for rule in policy.rules:
            worst[rule.name].append(float(margins.least_of(rule.when).max()) + errors.get(rule.name, 0.0))
    return {rule: np.array(margins, dtype=np.float64) for rule, margins in worst.items()}
