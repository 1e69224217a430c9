"""Decisions as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serve_app.admin_api import DecisionRecord, ShadowRecord
from serve_app.cli.moments import local
from serve_app.cli.report import told_scores
from serve_app.domain import UNNAMED_SOURCE

_STYLES = {"accept": "green", "flag": "yellow", "reject": "bold red", None: "magenta"}


def decision_table(decisions: Sequence[DecisionRecord]) -> Table:
    """One row per decision: when, verdict, what decided, and its id; its source, where sources have names."""
    has_sources = any(each.source != UNNAMED_SOURCE for each in decisions)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("decided", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("decided by", overflow="fold")
    if has_sources:
        table.add_column("source", overflow="fold")
    table.add_column("decision", no_wrap=True)
    for each in decisions:
        at = each.decided_at.astimezone().strftime("%m-%d %H:%M:%S")
        source = [Text(each.source)] * has_sources
        decided_by = _decided_by(each)
        if each.shadow is not None:
            decided_by += f"; shadow: {_shadow(each.shadow)}"
        table.add_row(at, Text(each.verdict or "-", _STYLES[each.verdict]), Text(decided_by), *source, each.id)
    return table


def explanation(shown: DecisionRecord, newest: Sequence[DecisionRecord], *, is_all: bool) -> RenderableType:
    """A decision in words, and how often its bytes were decided on: ``newest`` are all, or the newest ones of more."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("decision", shown.id)
    table.add_row("decided", f"{local(shown.decided_at)}, for source {shown.source}")
    table.add_row("verdict", _verdict(shown))
    table.add_row("decided by", Text(_decided_by(shown)))
    table.add_row("message", Text(shown.message))
    table.add_row("picture", _picture(shown))
    for name, text in _details(shown):
        table.add_row(name, Text(text))
    table.add_row("model", f"{shown.model} ({shown.model_digest[:12]})")
    if shown.worker:
        table.add_row("worker", Text(shown.worker))
    if shown.notice:
        table.add_row("notice", Text(shown.notice))
    table.add_row("policy", f"{shown.policy} ({shown.policy_digest[:12]})")
    table.add_row("lists", f"version {shown.lists_version}")
    return Group(table, Text(_how_often(newest, is_all=is_all)))


def _verdict(decision: DecisionRecord) -> Text:
    told = decision.verdict or f"unscanned, {'let through' if decision.kept else 'refused'}"
    return Text(told, _STYLES[decision.verdict])


def _decided_by(decision: DecisionRecord) -> str:
    if decision.listed is not None:
        return f"list {decision.listed.bank}, entry {decision.listed.entry}"
    if decision.verdict is None:
        return f"{decision.reason}, {'let through' if decision.kept else 'refused'}"
    return f"rule {decision.rule}" if decision.rule else "no rule"


def _shadow(shadow: ShadowRecord) -> str:
    return f"{shadow.verdict}, {f'rule {shadow.rule}' if shadow.rule else 'no rule held'}"


def _picture(decision: DecisionRecord) -> str:
    told = f"sha256 {decision.sha256}, {decision.body_bytes:,} bytes"
    return f"{told}, {decision.media_type}" if decision.media_type else told


def _details(decision: DecisionRecord) -> list[tuple[str, str]]:
    told = []
    if decision.scores:
        told.append(("scores", told_scores(decision.scores, decimals=3)))
    if decision.margin is not None:
        told.append(("margin", f"{decision.margin:+.3f} from the line of its rule"))
    if decision.view is not None:
        view = decision.view
        told.append(
            (
                "view",
                f"frame {view.frame}, from {view.left:.0%} to {view.right:.0%} of its width and {view.top:.0%} to "
                f"{view.bottom:.0%} of its height; {decision.views_seen} views of {decision.frames_seen} of "
                f"{decision.frames_total} frames were scanned",
            )
        )
    if decision.listed is not None and decision.listed.distance_bits is not None:
        match = decision.listed
        told.append(("match", f"frame {match.frame} differs from the entry in {match.distance_bits} of 256 bits"))
    if decision.shadow is not None:
        shadow = decision.shadow
        margin = "" if shadow.margin is None else f", margin {shadow.margin:+.3f}"
        told.append(("shadow", f"{_shadow(shadow)}{margin}; policy {shadow.policy} ({shadow.policy_digest[:12]})"))
    told += [
        ("shadow", f"list {each.bank}, entry {each.entry}, matches too; its bank is shadow and decides nothing")
        for each in decision.shadow_matches
    ]
    if decision.pending:
        told.append(("pending", "stored unscanned: `pictwarden rescan` scans it"))
    elif decision.done_at is not None:
        told.append(("was pending", f"{decision.done_how} at {local(decision.done_at)}"))
    return told


def _how_often(newest: Sequence[DecisionRecord], *, is_all: bool) -> str:
    if is_all and len(newest) == 1:
        return "This is the only recorded decision on these bytes."
    first = local(min(each.decided_at for each in newest))
    refused = sum(not each.kept for each in newest)
    if is_all:
        return f"{len(newest)} decisions on these bytes since {first}: {refused} refused them."
    return (
        f"More than {len(newest)} decisions on these bytes. Of the newest {len(newest)}, since {first}, {refused} "
        "refused them."
    )
