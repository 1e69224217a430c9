"""The labels of the version before, which its ingress replicas want while this one replaces it (docs/adr/0025).

Serve replaces scorers as soon as new ones run, whether or not ingress replicas of the version before still answer. So
the scorers of a version know the labels of the version before it too, if both have one model. Serve tells the
application nothing of the version before; Ray's own table does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from deployments.ray_table import Table
from serve_app.domain import is_prompt

LabelSets = Sequence[tuple[str, ...]]


def with_those_before(sets: LabelSets, source: str | None, table: Table) -> tuple[tuple[str, ...], ...]:
    """``sets`` and, of those that were passed for the same model the last time, the ones of prompts alone.

    A head or a classifier would take memory for as long as this version runs.

    Args:
        sets: the labels of this version, by what wants them.
        source: of the model.
        table: where the next version finds ``sets``.
    """
    key, value = f"labels:{source}", json.dumps(sets)
    known = table.put_if_absent(key, value)
    if known is None:
        return tuple(sets)
    table.replace(key, value)
    before = (tuple(each) for each in json.loads(known))
    return tuple(dict.fromkeys((*sets, *(labels for labels in before if all(map(is_prompt, labels))))))
