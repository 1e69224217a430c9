"""The recorded scores of every body in a database, as arrays: what a policy judges that was not there then."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import case, exists, func, or_, select

from serve_app.database.access import Database
from serve_app.database.tables import contexts, decisions, label_scores, label_sets
from serve_app.domain import RESCAN_SOURCE, LabelScores, Lane
from serve_app.ledger.encoding import unpack_planes
from serve_app.ledger.pages import pages
from serve_app.ledger.rows import Context

BODIES_AT_ONCE = 4000

BYTES_AT_ONCE = 8_000_000
"""As recorded; a part ends at the body that reaches it: videos have many views."""

MOST_VALUES = 400_000
"""Of one part: 2 MB. A policy judges larger parts more slowly, because they leave the caches of a core."""

_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True)
class ScoredBodies:
    """Some bodies with the scores of their views.

    Attributes:
        sha256: ``(bodies, 32)``, uint8.
        firsts: the first row of each body in ``scores``, ``(bodies,)``; its views follow each other.
        scores: of all their views.
        labels: the columns of the scores.
    """

    sha256: NDArray[np.uint8]
    firsts: NDArray[np.intp]
    scores: LabelScores
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnscoredBodies:
    """How many bodies that a policy accepted have no scores of wanted contexts.

    Of ``forgotten`` ones nothing is recorded any more. ``other`` counts by the contexts that they have scores of.
    """

    forgotten: int
    other: tuple[int, ...]


def contexts_of_scores(database: Database) -> dict[int, Context]:
    """The models and labels that scores may be of, by the key of their context."""
    wanted = select(contexts, label_sets.c.texts).join(label_sets, label_sets.c.labels == contexts.c.labels)
    with database.reading() as connection:
        return {row["context"]: Context.from_row(row) for row in connection.execute(wanted).mappings()}


def count_scored(database: Database, of_contexts: Collection[int]) -> int:
    """How many bodies have scores of these contexts, one counted for each model."""
    wanted = select(func.count()).select_from(label_scores).where(label_scores.c.context.in_(of_contexts))
    with database.reading() as connection:
        return connection.execute(wanted).scalar_one()


def all_scores(database: Database, of_contexts: Collection[int]) -> Generator[ScoredBodies, None, None]:
    """Those of all bodies in these contexts, in any order. What is recorded meanwhile may be left out. For a thread."""
    columns = label_scores.c
    known = contexts_of_scores(database)
    rows = pages(
        database,
        label_scores,
        [columns.sha256, columns.context, columns.logit_scale, columns.cosines],
        columns.context.in_(of_contexts),
        rows_at_once=BODIES_AT_ONCE,
        bytes_at_once=BYTES_AT_ONCE,
    )
    for page in rows:
        yield from _parts(page, known)


def _parts(page: Sequence[Sequence[Any]], known: dict[int, Context]) -> Generator[ScoredBodies, None, None]:
    """The bodies, those together whose scores have one shape: so that they are unpacked and judged at once."""
    sha256s, context_keys, logit_scales, cosines = page
    planes = [zlib.decompress(each) for each in cosines]
    alike: dict[tuple[int, float, int], list[int]] = defaultdict(list)
    for number, shape in enumerate(zip(context_keys, logit_scales, map(len, planes), strict=True)):
        alike[shape].append(number)
    for (key, logit_scale, size_bytes), numbers in alike.items():
        context, values = known[key], size_bytes // 2
        views = values // len(context.labels)
        at_once = max(1, MOST_VALUES // values)
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            of_views = unpack_planes(b"".join([planes[each] for each in some]), len(some), len(context.labels))
            yield ScoredBodies(
                np.frombuffer(b"".join([sha256s[each] for each in some]), np.uint8).reshape(-1, _SHA256_BYTES),
                np.arange(len(some)) * views,
                LabelScores(of_views, logit_scale, context.model),
                context.labels,
            )


def count_unscored(
    database: Database,
    of_contexts: Collection[int],
    others: Sequence[Collection[int]],
    sources: Collection[str] | None = None,
    *,
    but: Collection[str] = (),
) -> UnscoredBodies:
    """Bodies that a policy let through, and that have no scores of some contexts.

    Args:
        database: of the ledger.
        of_contexts: the wanted scores.
        others: contexts of which they may have scores instead. A body that has some of several counts for the first.
        sources: whose decisions count; None for all.
        but: sources whose decisions do not count.
    """
    columns = decisions.c
    accepted = (
        columns.kept.is_(True)
        & (columns.reason == "policy")
        & or_(columns.lane.is_(None), columns.lane == Lane.LIVE.value, columns.source == RESCAN_SOURCE)
        & columns.source.not_in(but)
    )
    if sources is not None:
        accepted &= columns.source.in_(sources)
    scored = exists().where(label_scores.c.sha256 == columns.sha256, label_scores.c.context.in_(of_contexts))
    bodies = select(columns.sha256).where(accepted, ~scored).distinct().subquery()
    which = case(
        *(
            (exists().where(label_scores.c.sha256 == bodies.c.sha256, label_scores.c.context.in_(each)), number)
            for number, each in enumerate(others)
        ),
        else_=len(others),
    )
    of_each = select(which.label("which")).select_from(bodies).subquery()
    counted = select(of_each.c.which, func.count().label("number")).group_by(of_each.c.which)
    with database.reading() as connection:
        counts: dict[int, int] = {row.which: row.number for row in connection.execute(counted)}
    return UnscoredBodies(counts.get(len(others), 0), tuple(counts.get(number, 0) for number in range(len(others))))
