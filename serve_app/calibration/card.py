"""A card of a policy's rates, in Markdown and HTML: beside each number stands what was measured, and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt

from serve_app.calibration.rates import Comparison, Discordance, Evaluation, Rate, RuleRates
from serve_app.domain import ModelIdentity

_ORDINARY = "pictures of this set for which the rule should not hold"
_OTHER_SETS = "other kinds of pictures than this set has"
_DETECTION = "pictures for which the rule should hold: this set names none"
_MARKDOWN_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|~&"})

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; line-height: 1.4; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #bbb; padding: 0.3em 0.6em; text-align: left; vertical-align: top; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """What was measured: a set of pictures by its name for people, and when.

    ``pictures_digest`` is the sha256 (hex) over the set; ``files`` were scored, copies and near-duplicates included.
    ``one_sided`` other files count for nothing: of two policies, only one had scores.
    """

    name: str
    date: str
    pictures_digest: str
    files: int
    models: tuple[ModelIdentity, ...]
    one_sided: int = 0


def markdown(
    subject: Subject, evaluation: Evaluation, other: Evaluation | None = None, comparison: Comparison | None = None
) -> str:
    """The card of one policy; or of two, side by side."""
    evaluations = [evaluation] if other is None else [evaluation, other]
    lines = [f"# {' and '.join(_text(each.policy.name) for each in evaluations)}: measured rates", ""]
    lines += _facts(subject, evaluations)
    for each in evaluations:
        lines += [f"## {_text(str(each.policy))}", "", *_table(each), ""]
        lines += _calibration(each)
    if comparison is not None and other is not None:
        lines += _comparison(comparison, evaluation.policy.name, other.policy.name)
    lines += [
        "Intervals are two-sided, with 95 % confidence (Clopper and Pearson). They hold for pictures that are drawn as "
        "these were, and say nothing of others.",
        "",
    ]
    return "\n".join(lines)


def html(card: str, title: str) -> str:
    """A card in Markdown as a page of its own."""
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return _PAGE.format(title=escaped, body=renderer.render(card))


def _facts(subject: Subject, evaluations: Sequence[Evaluation]) -> list[str]:
    copies = subject.files - evaluations[0].pictures
    single = dict.fromkeys(each for model in subject.models for each in model.each)
    models = ", ".join(f"{_text(each.name)} ({each.weights_digest[:12]})" for each in single)
    one_sided = [f"* Left out: {subject.one_sided:,} that have scores for only one policy"] if subject.one_sided else []
    return [
        f"* Pictures: {_text(subject.name)}; {evaluations[0].pictures:,} distinct ones, {copies:,} copies and "
        f"near-duplicates left out; digest {subject.pictures_digest[:12]}",
        *one_sided,
        f"* Models: {models}",
        *(f"* Notice: {_text(notice)}" for each in single for notice in each.notices),
        f"* Date: {subject.date}",
        "",
    ]


def _table(evaluation: Evaluation) -> list[str]:
    rows = [
        "| rule | number | 95 % interval | measured | not measured |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in evaluation.rules:
        rows += _rows(rule)
    rows += [
        _row("*any*", f"refused: {_rate(evaluation.refused)}", evaluation.refused, _any(), _OTHER_SETS),
        _row("*any*", f"flagged: {_rate(evaluation.flagged)}", evaluation.flagged, _any(), _OTHER_SETS),
    ]
    return rows


def _any() -> str:
    return "pictures of this set for which no rule should hold"


def _rows(rule: RuleRates) -> list[str]:
    name = f"{_text(rule.rule)} ({rule.verdict})"
    detected = "pictures of this set for which the rule should hold"
    return [
        _row(name, f"false positives: {_rate(rule.false_positives)}", rule.false_positives, _ORDINARY, _OTHER_SETS),
        _row(name, f"detected: {_rate(rule.detections)}", rule.detections, detected, _OTHER_SETS)
        if rule.detections
        else _row(name, "detected: not measured", None, "nothing", _DETECTION),
    ]


def _row(rule: str, number: str, rate: Rate | None, measured: str, not_measured: str) -> str:
    interval = f"{rate.low:.3%} to {rate.high:.3%}" if rate else "none"
    return f"| {rule} | {number} | {interval} | {measured} | {not_measured} |"


def _rate(rate: Rate | None) -> str:
    return f"{rate.hits:,} of {rate.trials:,} ({rate.share:.3%})" if rate else "not measured"


def _calibration(evaluation: Evaluation) -> list[str]:
    calibration = evaluation.policy.calibration
    if calibration is None:
        return ["This policy is not calibrated: no error rate is claimed for its thresholds.", ""]
    return [
        f"Its thresholds were calibrated on {calibration.date} on {calibration.pictures:,} pictures (digest "
        f"{calibration.pictures_digest[:12]}). Rates on the same pictures would be too good to be true.",
        "",
    ]


def _comparison(comparison: Comparison, first: str, second: str) -> list[str]:
    rows = [
        "## Which pictures do they refuse?",
        "",
        f"| pictures | both | only {_text(first)} | only {_text(second)} | neither | McNemar's exact p |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind, found in (("no rule should hold", comparison.ordinary), ("a rule should hold", comparison.labelled)):
        rows.append(f"| {kind} | {_cells(found)} |")
    return [
        *rows,
        "",
        "*p* is the probability that two policies which refuse equally often differ at least so unevenly.",
        "",
    ]


def _cells(found: Discordance) -> str:
    counts = (found.both, found.only_first, found.only_second, found.neither)
    return " | ".join([*(f"{each:,}" for each in counts), f"{found.p:.3g}" if sum(counts) else "not measured"])


def _text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return " ".join(text.split()).translate(_MARKDOWN_SIGNS)
