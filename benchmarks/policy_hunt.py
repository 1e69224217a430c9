"""How long a policy takes to judge the recorded scores of a million bodies in a ledger, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serve_app.database.access import Database
from serve_app.database.tables import contexts, label_scores, label_sets
from serve_app.domain import ModelIdentity, ViewPlace
from serve_app.ledger.encoding import pack_places, pack_values
from serve_app.ledger.rows import Context
from serve_app.ledger.score_scan import BODIES_AT_ONCE, all_scores
from serve_app.policy import may_reject, parse_policy

VIEWS = 5
"""Of a photograph."""

_PROMPTS = 20
"""Of each side of each concept, as in the policies that ship."""

_LOGIT_SCALE = 100.0
_MEAN, _SPREAD, _CLEAR = 0.2, 0.01, 0.35
_SHA256_BYTES = 32


def _prompts(of: str) -> str:
    return ", ".join(f"{of} {number}" for number in range(_PROMPTS))


POLICY = parse_policy(
    f"""\
policy: bench
model: bench
concepts:
  child: {{score: contrast, prompts: [{_prompts("child")}], counter_prompts: [{_prompts("adult")}]}}
  sexual: {{score: contrast, prompts: [{_prompts("sexual")}], counter_prompts: [{_prompts("ordinary")}]}}
rules:
  - {{name: both, verdict: reject, when: {{all: [{{concept: child, above: 0.95}}, {{concept: sexual, above: 0.95}}]}}}}
""",
    "the benchmark",
)
"""The shape of a real policy: two concepts, which have to be there together."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How long it took to judge all bodies, how many are rejected, and by how much the memory of the process grew."""

    seconds: float
    core_s: float
    found: int
    grown_mb: float


def record(database: Database, bodies: int, source: np.random.Generator) -> None:
    """Put the scores of so many bodies into a database; one of them is to be rejected."""
    model = ModelIdentity("bench", "a" * 64, 224)
    context = Context(1, model, POLICY.name, POLICY.digest, POLICY.labels)
    row, labels = context.row(), context.label_set_row()
    with database.writing() as connection:
        connection.execute(label_sets.insert(), [dict(labels or {})])
        connection.execute(contexts.insert(), [dict(row)])
    places = pack_places([ViewPlace(0, (0.0, 0.0, 1.0, 1.0))] * VIEWS)
    for first in range(0, bodies, BODIES_AT_ONCE):
        count = min(BODIES_AT_ONCE, bodies - first)
        values = source.normal(_MEAN, _SPREAD, (count, VIEWS, len(POLICY.labels))).astype(np.float32)
        if first == 0:
            wanted = [label.startswith(("child", "sexual")) for label in POLICY.labels]
            values[0, 1] = np.where(wanted, _CLEAR, _MEAN)
        with database.writing() as connection:
            connection.execute(
                label_scores.insert(),
                [
                    {
                        "sha256": source.bytes(_SHA256_BYTES),
                        "model_key": 1,
                        "recorded_at_us": 0,
                        "context": row["context"],
                        "logit_scale": _LOGIT_SCALE,
                        "cosines": pack_values(each),
                        "places": places,
                        "media_type": "image/png",
                        "frames_seen": 1,
                        "frames_total": 1,
                        "is_truncated": False,
                    }
                    for each in values
                ],
            )


def judge(database: Database) -> Judged:
    """Judge all of them."""
    with database.reading() as connection:
        of_contexts = list(connection.execute(contexts.select().with_only_columns(contexts.c.context)).scalars())
    # The peak begins anew: what was done before has needed more.
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before_mb = _peak_mb()
    began_s, began_core_s = time.perf_counter(), time.process_time()
    found = sum(_found(database, of_contexts))
    return Judged(time.perf_counter() - began_s, time.process_time() - began_core_s, found, _peak_mb() - before_mb)


def _found(database: Database, of_contexts: list[int]) -> Iterator[int]:
    for part in all_scores(database, of_contexts):
        yield len(may_reject(POLICY, part.scores, part.labels, part.firsts))


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1e3
