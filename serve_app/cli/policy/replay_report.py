"""What another policy would have decided, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve_app.cli.moments import local
from serve_app.cli.report import print_notices
from serve_app.policy import Change, Replay, ReplayedDecision

_MOST_SHOWN = 50
_MOST_LABELS_SHOWN = 5


def print_replay(replay: Replay, *, is_whole: bool) -> None:
    """Tables of the changes and of the newest differences, and what could not be decided again.

    ``is_whole`` unless the command was interrupted.
    """
    console = Console(highlight=False)
    looked_at = replay.replayed + replay.not_replayed
    console.print(f"{replay.policy}: {replay.replayed:,} of {looked_at:,} decisions were made again", markup=False)
    if replay.replayed:
        console.print(_changes(replay))
    for line in _not_replayed(replay):
        console.print(line, markup=False, soft_wrap=True)
    if replay.differences:
        console.print(_differences(replay.differences[:_MOST_SHOWN]))
    if len(replay.differences) > _MOST_SHOWN:
        more = len(replay.differences) - _MOST_SHOWN
        console.print(f"{more:,} more decisions differ: --json shows all of them", soft_wrap=True)
    print_notices(replay.notices, console)
    if not is_whole:
        console.print("interrupted: older decisions were not looked at")


def json_of(replay: Replay, asked: Mapping[str, datetime | None], *, is_whole: bool) -> str:
    """One JSON object with everything."""
    told: dict[str, Any] = {
        "policy": replay.policy.name,
        "policy_digest": replay.policy.digest,
        **{key: at and at.isoformat() for key, at in asked.items()},
        "complete": is_whole,
        "notices": sorted(replay.notices),
        "replayed": replay.replayed,
        "rules": [
            {"rule": rule, **{change.value: replay.changes[rule, change] for change in Change}}
            for rule in _rules(replay)
        ],
        "not_replayed": {
            "not_judged": replay.not_judged,
            "forgotten": replay.forgotten,
            "other_model": replay.other_model,
            "insufficient": replay.insufficient,
            "missing_labels": dict(replay.missing_labels.most_common()),
        },
        "differences": [_difference(each) for each in replay.differences],
    }
    return json.dumps(told, ensure_ascii=False)


def _difference(difference: ReplayedDecision) -> dict[str, Any]:
    fields = asdict(difference)
    left, top, right, bottom = difference.place.box
    del fields["place"]
    return {
        "id": fields.pop("request_id"),
        **fields,
        "decided_at": difference.decided_at.isoformat(),
        "view": {"frame": difference.place.frame, "left": left, "top": top, "right": right, "bottom": bottom},
    }


def _rules(replay: Replay) -> list[str | None]:
    """The rules at which decisions are counted: the new policy's, then those that it has no more, then none."""
    of_policy = [rule.name for rule in replay.policy.rules]
    others = {rule for rule, _ in replay.changes if rule is not None}.difference(of_policy)
    return [*of_policy, *sorted(others), None]


def _changes(replay: Replay) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("decided by", overflow="fold")
    for change in Change:
        table.add_column(change.value, justify="right", no_wrap=True)
    rules = _rules(replay)
    for rule in rules:
        table.add_row(Text(_named(rule)), *(f"{replay.changes[rule, change]:,}" for change in Change))
    together = (sum(replay.changes[rule, change] for rule in rules) for change in Change)
    table.add_row("together", *(f"{count:,}" for count in together), style="bold")
    return table


def _not_replayed(replay: Replay) -> list[str]:
    if not replay.not_replayed:
        return []
    reasons = (
        (replay.not_judged, "the policy did not decide: unscanned, or listed"),
        (replay.forgotten, "their scores are not recorded any more"),
        (replay.other_model, f"another model scored than {' + '.join(replay.policy.models)}"),
        (replay.insufficient, f"labels of the new policy were never scored: {_labels(replay)}"),
    )
    lines = [f"{replay.not_replayed:,} cannot be made again:"]
    return lines + [f"  {count:,}: {reason}" for count, reason in reasons if count]


def _labels(replay: Replay) -> str:
    told = [f"'{label}' on {count:,}" for label, count in replay.missing_labels.most_common(_MOST_LABELS_SHOWN)]
    more = len(replay.missing_labels) - len(told)
    return ", ".join([*told, f"and {more} more prompts"] if more else told)


def _differences(differences: Sequence[ReplayedDecision]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title="Another verdict", title_justify="left")
    table.add_column("decided", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    table.add_column("decided by", overflow="fold")
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    for each in differences:
        verdict = f"{each.verdict} → {each.new_verdict}{'' if each.is_certain else ' (uncertain)'}"
        decided_by = f"{_named(each.rule)} → {_named(each.new_rule)}"
        margin = "" if each.margin is None else f"{each.margin:+.3f}"
        table.add_row(local(each.decided_at), verdict, Text(decided_by), margin, each.request_id)
    return table


def _named(rule: str | None) -> str:
    return f"rule {rule}" if rule is not None else "no rule held"
