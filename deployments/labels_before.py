"""The labels of the versions before, which their ingress replicas want while this one replaces them (docs/adr/0025).

Serve replaces scorers as soon as new ones run, whether or not ingress replicas of an earlier version still answer. So
the scorers of a version know the labels of earlier ones too, if all have one model: of several, because a version that
was deployed and never became ready has replaced nothing. Serve tells the application nothing of earlier versions;
Ray's own table does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from deployments.ray_table import Table
from serve_app.domain import is_prompt

LabelSets = Sequence[tuple[str, ...]]

KEPT_VERSIONS: Final = 4
"""Versions with other labels before this one: prompts take little, and failed deployments in a row are few."""

_NONE: Final = "[]"


def with_those_before(sets: LabelSets, source: str | None, table: Table) -> tuple[tuple[str, ...], ...]:
    """``sets`` and, of those that were passed for the same model the last few times, the ones of prompts alone.

    A head or a classifier would take memory for as long as this version runs.

    Args:
        sets: the labels of this version, by what wants them.
        source: of the model.
        table: where the next versions find ``sets``.
    """
    keys = [f"labels:{source}", *(f"labels:{source}:{number}" for number in range(1, KEPT_VERSIONS + 1))]
    known = [table.put_if_absent(key, _NONE) or _NONE for key in keys]
    latest = list(dict.fromkeys((json.dumps(sets), *(each for each in known if each != _NONE))))[: len(keys)]
    for key, value in zip(keys, latest, strict=False):
        table.replace(key, value)
    before = (tuple(labels) for value in latest[1:] for labels in json.loads(value))
    return tuple(dict.fromkeys((*sets, *(labels for labels in before if all(map(is_prompt, labels))))))
