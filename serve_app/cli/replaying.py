"""``pictwarden policy replay``: recorded decisions, decided again by another policy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from serve_app.admin_api import ScoredDecisions, ScoringModel, ViewScores
from serve_app.cli.admin_connection import AdminConnection
from serve_app.cli.admin_errors import told
from serve_app.cli.checking import ExitCode
from serve_app.cli.decisions import Json, Moment, moment_of
from serve_app.cli.interrupt import interruptible
from serve_app.cli.moments import WAY_OUT, local
from serve_app.cli.policies import policy_errors
from serve_app.cli.progress import progress
from serve_app.cli.replay_report import json_of, print_replay
from serve_app.domain import LabelScores, ModelIdentity, ViewPlace
from serve_app.policy import Replay, ScoredDecision, load_policy

# A page of ordinary photographs has a few hundred kilobytes; one of long animations under a long policy, megabytes.
_AT_ONCE = 500


@told
def policy_replay(
    file: Annotated[str, typer.Argument(help="The new policy: a file, or shipped:NAME.", show_default=False)],
    since: Annotated[str, typer.Option(help=f"Time: {WAY_OUT}.")] = "30d",
    until: Moment = None,
    as_json: Json = False,
) -> None:
    """Show which recorded decisions of a running service another policy would have made otherwise.

    Decides again over the recorded scores, which stay for 30 days; no picture is scanned, and nothing changes. Says
    which decisions could not be made again, and why. Ctrl-C shows what was decided again so far.

    Exit code: 0 if all were looked at, 2 after an error, 130 after Ctrl-C.
    """
    with policy_errors():
        replay = Replay(load_policy(file))
    asked = {"since": moment_of(since, "--since"), "until": moment_of(until, "--until")}
    params = {key: value.isoformat() for key, value in asked.items() if value is not None}
    is_whole = False
    with interruptible() as stop, progress(Console(stderr=True)) as show:
        for page in _pages(AdminConnection(), params, stop):
            for each in _scored_decisions(page):
                replay.add(each)
            if page.decisions:
                looked_at, oldest = replay.replayed + replay.not_replayed, page.decisions[-1].decided_at
                show(f"{looked_at:,} decisions, back to {local(oldest)}")
            is_whole = page.cursor is None
    if as_json:
        typer.echo(json_of(replay, asked, is_whole=is_whole))
    else:
        print_replay(replay, is_whole=is_whole)
    if not is_whole:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _pages(service: AdminConnection, params: dict[str, str], stop: threading.Event) -> Iterator[ScoredDecisions]:
    """The recorded decisions, newest first, until the last one or until ``stop`` is set."""
    asked = {**params, "limit": str(_AT_ONCE)}
    while not stop.is_set():
        page = service.get(ScoredDecisions, "/scores", asked)
        yield page
        if page.cursor is None:
            return
        asked["cursor"] = page.cursor


def _scored_decisions(page: ScoredDecisions) -> Iterator[ScoredDecision]:
    models = [_model_of(each) for each in page.models]
    label_sets = [tuple(each) for each in page.label_sets]
    for record in page.decisions:
        scored = ScoredDecision(
            request_id=record.id,
            decided_at=record.decided_at,
            sha256=record.sha256,
            source=record.source,
            is_judged=record.reason == "policy",
            verdict=record.verdict,
            rule=record.rule,
            scores=None,
        )
        if (seen := record.scores) is not None:
            places = (ViewPlace(frame, (left, top, right, bottom)) for frame, left, top, right, bottom in seen.places)
            scored = replace(
                scored,
                scores=_label_scores(seen, models[seen.model]),
                labels=label_sets[seen.labels],
                places=tuple(places),
            )
        yield scored


def _model_of(told: ScoringModel) -> ModelIdentity:
    return ModelIdentity(
        told.name,
        told.digest,
        told.image_size_px,
        derived_from=told.derived_from,
        parts=tuple(map(_model_of, told.parts)),
    )


def _label_scores(seen: ViewScores, model: ModelIdentity) -> LabelScores:
    values = np.frombuffer(seen.values, "<f2").reshape(len(seen.places), -1).astype(np.float32)
    return LabelScores(values, seen.logit_scale, model)
