"""The statements of the ledger: what is looked up, and what is erased."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    tuple_,
)

from serve_app.database.moments import microseconds
from serve_app.database.tables import audit, contexts, decisions, fingerprints, label_scores, label_sets
from serve_app.domain import LONG_KEPT, READING, DecisionFilter, Erased, ForgetScope, Retention
from serve_app.domain.workers import Doubt
from serve_app.ledger.cursors import Cursor
from serve_app.ledger.encoding import body_key
from serve_app.ledger.rows import CANARY_EXPLANATION, OUTCOME_COLUMNS

ERASED_AT_ONCE = 50
"""Rows erased in one transaction: a short one, because commits of new decisions wait for it."""

CHOSEN_AT_ONCE = 5000
"""Rows chosen at once to be erased."""

BODIES_AT_ONCE = 1000
"""Parameters of one statement, of which SQLite takes 32,766."""

NEWEST_FIRST = (decisions.c.decided_at_us.desc(), decisions.c.request_id.desc())
OLDEST_FIRST = (decisions.c.decided_at_us, decisions.c.request_id)

CONTEXT = (
    select(contexts, label_sets.c.texts)
    .outerjoin(label_sets, label_sets.c.labels == contexts.c.labels)
    .where(contexts.c.context == bindparam("context"))
)

SEEN = (
    select(label_scores, fingerprints.c.frames)
    .outerjoin(fingerprints, fingerprints.c.sha256 == label_scores.c.sha256)
    .where(label_scores.c.sha256 == bindparam("sha256"), label_scores.c.model_key == bindparam("model_key"))
)
"""What a model saw in a body."""

_BODIES: BindParameter[Sequence[bytes]] = bindparam("bodies", expanding=True)
SEEN_OF_BODIES = select(label_scores).where(label_scores.c.sha256.in_(_BODIES))
"""What models saw in at most :data:`BODIES_AT_ONCE` bodies."""

KEYS_SEEN_OF_BODIES = select(label_scores.c.sha256, label_scores.c.model_key).where(label_scores.c.sha256.in_(_BODIES))
"""Which of them models have seen, and which models."""

FINGERPRINTS_OF_BODIES = select(fingerprints).where(fingerprints.c.sha256.in_(_BODIES))
"""Their fingerprints, which are recorded for longer than what models saw."""

JUDGED = (
    select(
        *(decisions.c[name] for name in OUTCOME_COLUMNS),
        decisions.c.decided_at_us,
        decisions.c.worker,
        contexts.c.policy_digest,
    )
    .join(contexts, contexts.c.context == decisions.c.context)
    .where(
        decisions.c.sha256 == bindparam("sha256"),
        contexts.c.model_key == bindparam("model_key"),
        decisions.c.reason == "policy",
    )
    .order_by(decisions.c.decided_at_us.desc())
    .limit(1)
)
"""The latest judgement of what a model saw in a body."""


def conditions_of(wanted: DecisionFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter."""
    columns = decisions.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.sha256 is not None:
        conditions.append(columns.sha256 == body_key(wanted.sha256))
    if wanted.since is not None:
        conditions.append(columns.decided_at_us >= microseconds(wanted.since))
    if wanted.until is not None:
        conditions.append(columns.decided_at_us < microseconds(wanted.until))
    if wanted.is_pending is not None:
        conditions.append(columns.is_pending.is_(wanted.is_pending))
    if wanted.shadow_differs is not None:
        differs = columns.shadow_judgement.is_not(None)
        conditions.append(differs if wanted.shadow_differs else ~differs)
    if wanted.is_canary is not None:
        is_canary = (columns.reason == "listed") & columns.explanation.startswith(CANARY_EXPLANATION, autoescape=True)
        conditions.append(is_canary if wanted.is_canary else ~is_canary)
    texts = {
        columns.source: wanted.source,
        columns.reason: wanted.reason,
        columns.rule: wanted.rule,
        columns.done_how: wanted.done_how,
        columns.worker: wanted.worker,
    }
    if wanted.verdict is not None:
        texts[columns.verdict] = wanted.verdict.value
    return conditions + [column == text for column, text in texts.items() if text is not None]


def before(cursor: Cursor) -> ColumnElement[bool]:
    """Decisions older than the one at ``cursor``."""
    return tuple_(*OLDEST_FIRST) < tuple_(*cursor)


def after(cursor: Cursor) -> ColumnElement[bool]:
    """Decisions newer than the one at ``cursor``."""
    return tuple_(*OLDEST_FIRST) > tuple_(*cursor)


def in_scope(scope: ForgetScope) -> ColumnElement[bool]:
    """The decisions that are to be forgotten."""
    if scope.before is not None:
        return decisions.c.decided_at_us < microseconds(scope.before)
    if scope.source is not None:
        return decisions.c.source == scope.source
    return decisions.c.sha256 == body_key(scope.sha256 or "")


def is_over(retention: Retention, now: datetime) -> ColumnElement[bool]:
    """The decisions whose retention is over."""
    since_us = func.coalesce(decisions.c.done_at_us, decisions.c.decided_at_us)
    is_long_kept = decisions.c.verdict.in_([verdict.value for verdict in LONG_KEPT])
    limit_us = case(
        (is_long_kept, microseconds(now - retention.rejected)), else_=microseconds(now - retention.accepted)
    )
    # The index by time finds the candidates.
    latest = max(now - retention.rejected, now - retention.accepted)
    return (
        (decisions.c.decided_at_us < microseconds(latest)) & decisions.c.is_pending.is_(False) & (since_us < limit_us)
    )


def chosen_decisions(connection: Connection, condition: ColumnElement[bool], last: Any = None) -> Sequence[Any]:
    """The id, the time and the body of at most :data:`CHOSEN_AT_ONCE` decisions, oldest first, behind the row ``last``.

    So those that stay are looked at once, however many there are.
    """
    chosen = select(decisions.c.request_id, decisions.c.decided_at_us, decisions.c.sha256).where(condition)
    if last is not None:
        chosen = chosen.where(after(Cursor(last.decided_at_us, last.request_id)))
    return connection.execute(chosen.order_by(*OLDEST_FIRST).limit(CHOSEN_AT_ONCE)).all()


def erase_decisions(connection: Connection, chosen: Sequence[Any], condition: ColumnElement[bool]) -> Erased:
    """Erase chosen decisions, as far as the condition still holds, and what was seen of bodies that have none left."""
    is_chosen = decisions.c.request_id.in_([row.request_id for row in chosen])
    count = connection.execute(delete(decisions).where(is_chosen, condition)).rowcount
    bodies = list({row.sha256 for row in chosen})
    return Erased(count, _erase_seen(connection, label_scores, bodies), _erase_seen(connection, fingerprints, bodies))


def in_doubt(doubt: Doubt, since: datetime) -> ColumnElement[bool]:
    """The label scores that are in doubt since a moment."""
    return label_scores.c.recorded_at_us.between(
        microseconds(since), microseconds(doubt.until)
    ) & label_scores.c.worker.in_(doubt.workers)


def chosen_label_scores(connection: Connection, condition: ColumnElement[bool]) -> Sequence[Any]:
    """The keys of at most :data:`CHOSEN_AT_ONCE` label scores."""
    chosen = select(*label_scores.primary_key.columns).where(condition)
    return connection.execute(chosen.limit(CHOSEN_AT_ONCE)).all()


def erase_label_scores(connection: Connection, chosen: Sequence[Any], condition: ColumnElement[bool]) -> Erased:
    """Erase chosen label scores, as far as the condition still holds."""
    is_chosen = tuple_(*label_scores.primary_key.columns).in_([tuple(row) for row in chosen])
    return Erased(label_scores=connection.execute(delete(label_scores).where(is_chosen, condition)).rowcount)


def erase_decoded(connection: Connection, chosen: Sequence[Any], condition: ColumnElement[bool]) -> Erased:
    """Erase all that was seen of the bodies of chosen label scores, as far as the condition still holds for these.

    Without fingerprints, what another model saw in such a body would be recalled and no list asked.
    """
    is_chosen = tuple_(*label_scores.primary_key.columns).in_([tuple(row) for row in chosen])
    erased = delete(label_scores).where(is_chosen, condition).returning(label_scores.c.sha256)
    bodies = connection.execute(erased).scalars().all()
    others, frames = (
        connection.execute(delete(table).where(table.c.sha256.in_(bodies))).rowcount
        for table in (label_scores, fingerprints)
    )
    return Erased(label_scores=len(bodies) + others, fingerprints=frames)


def tally(since: datetime, until: datetime) -> Select[Any]:
    """How many decisions of a time are alike, without those on the canary."""
    columns = decisions.c
    alike = (columns.source, columns.lane, columns.reason, columns.verdict, columns.rule, columns.kept)
    counted = select(
        *alike,
        func.count().label("number"),
        func.min(columns.decided_at_us).label("first_at_us"),
        func.count(case((columns.preprocess_ms > 0, 1))).label("examined"),  # a recalled one took no time
    )
    return counted.where(*conditions_of(DecisionFilter(since=since, until=until))).group_by(*alike)


PENDING_COUNT = select(func.count().label("number"), func.min(decisions.c.decided_at_us).label("oldest_at_us")).where(
    decisions.c.is_pending.is_(True)
)


def audited(action: str, since_us: int | BindParameter[int]) -> Select[Any]:
    """The entries of an action in the audit, oldest first."""
    wanted = select(audit).where(audit.c.action == action, audit.c.at_us >= since_us)
    return wanted.order_by(audit.c.at_us, audit.c.entry)


def chosen_reads(connection: Connection, before_us: int) -> Sequence[Any]:
    """At most :data:`CHOSEN_AT_ONCE` entries in the audit of requests that changed nothing."""
    chosen = select(audit.c.entry).where(audit.c.at_us < before_us, audit.c.action.startswith(READING))
    return connection.execute(chosen.limit(CHOSEN_AT_ONCE)).all()


def erase_reads(connection: Connection, chosen: Sequence[Any]) -> Erased:
    """Erase such entries, which are no records of pictures."""
    connection.execute(delete(audit).where(audit.c.entry.in_([row.entry for row in chosen])))
    return Erased()


def _erase_seen(connection: Connection, table: Table, bodies: Sequence[bytes]) -> int:
    is_decided = exists().where(decisions.c.sha256 == table.c.sha256)
    return connection.execute(delete(table).where(table.c.sha256.in_(bodies), ~is_decided)).rowcount
