"""How far each rule of a policy is over its line on each picture: the one number that a calibration looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.calibration.pictures import ScoredPicture
from serve_app.policy import Policy, largest_error, margins_of

FloatArray = NDArray[np.float64]


def rule_margins(policy: Policy, pictures: Sequence[ScoredPicture]) -> Mapping[str, FloatArray]:
    """For each rule, its margin on the worst view of each picture, ``(pictures,)``: it holds where this is over zero.

    Scores that a database recorded are rounded: the most by which that can lower a margin is added, so that a rule that
    may hold counts as one that holds.

    Raises:
        PolicyError: the scores are another model's.
        UnavailableError: a score is not a finite number.
    """
    worst: dict[str, list[float]] = {rule.name: [] for rule in policy.rules}
    for model in {picture.scores.model for picture in pictures}:
        policy.require_model(model)
    for picture in pictures:
        error = largest_error(policy, picture.scores)
        for rule, margins in margins_of(policy, picture.scores).rules.items():
            worst[rule].append(float(margins.max()) + error)
    return {rule: np.array(margins, dtype=np.float64) for rule, margins in worst.items()}
