"""A report as one page of HTML that needs nothing from anywhere: style and drawings are in it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks import svg
from benchmarks.plots import Plot
from benchmarks.report import Report, Section, Table

_STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --soft: #5b6675; --ground: #fff; --panel: #f4f6f8; --line: #d7dce2;
  --good: #116b3a; --bad: #b3261e; --s0: #1f5fb4; --s1: #c2500c; --s2: #0e7a6b; --s3: #8a3ba8; --s4: #8f6a00;
  --s5: #b01950 }
@media (prefers-color-scheme: dark) { :root { --text: #e6eaf0; --soft: #a0abba; --ground: #12161c; --panel: #1b2129;
  --line: #343d49; --good: #6fd39a; --bad: #ff8a80; --s0: #7fb2ff; --s1: #ffa366; --s2: #5fd6c4; --s3: #d59bf0;
  --s4: #e6c35c; --s5: #ff8fb5 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem 1rem 3rem; max-width: 64rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem } p { max-width: 44rem; white-space: pre-line }
code { background: var(--panel); padding: .15em .4em; border-radius: .25rem; overflow-wrap: anywhere }
.about { color: var(--soft) } .about dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem;
  font-size: .875rem } .about dt { font-weight: 600 } .about dd { margin: 0; overflow-wrap: anywhere }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child, .checks td, .checks th { text-align: left; padding-left: 0 }
.checks td { white-space: normal } th { color: var(--soft); font-weight: 600; vertical-align: bottom }
.yes { color: var(--good); font-weight: 600 } .no { color: var(--bad); font-weight: 700 }
figure { margin: 0; max-width: 46rem } svg { display: block; width: 100%; height: auto }
svg text { font-size: 13px; fill: var(--soft) } svg .y { text-anchor: end } svg .x, svg .label { text-anchor: middle }
svg .mark { fill: var(--text); paint-order: stroke; stroke: var(--ground); stroke-width: 4px }
svg line { stroke: var(--line) } svg .level { stroke: var(--bad); stroke-dasharray: 6 4 }
svg .event { stroke: var(--text); stroke-dasharray: 2 3 } svg polyline { fill: none; stroke-width: 2 }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; padding: 0; margin: .25rem 0; list-style: none;
  font-size: .875rem } .legend i { display: inline-block; width: 1.25em; border-top: 3px solid; margin-right: .4em;
  vertical-align: .25em } .y-label { color: var(--soft); font-size: .8125rem }
@media (max-width: 40rem) { svg text { font-size: 19px } svg polyline { stroke-width: 3 }
  .about dl { grid-template-columns: 7rem minmax(0, 1fr) } }
"""

_SERIES_STYLE = "".join(
    f"polyline.s{place} {{ stroke: var(--s{place}) }} circle.s{place} {{ fill: var(--s{place}) }} "
    f".legend .s{place} {{ border-color: var(--s{place}) }}\n"
    for place in range(svg.COLOURS)
)


def to_html(report: Report) -> str:
    """The whole page."""
    title = escape(report.title)
    about = [("command", report.command), ("started", f"{report.started_at:%Y-%m-%d %H:%M:%S %Z}")]
    about += [("seed", str(report.seed)), *report.machine.items()]
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{_fact(name, value)}</dd>" for name, value in about)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}{_SERIES_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        f'<div class="about"><dl>{facts}</dl></div>\n{_checks(report)}\n'
        + "\n".join(_section(section) for section in report.sections)
        + "\n</body></html>\n"
    )


def _fact(name: str, value: str) -> str:
    return f"<code>{escape(value)}</code>" if name == "command" else escape(value)


def _checks(report: Report) -> str:
    if not report.checks:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.claim)}</td><td>{escape(each.seen)}</td><td>{escape(each.wanted)}</td>"
        f'<td class="{"yes" if each.holds else "no"}">{"yes" if each.holds else "NO"}</td></tr>'
        for each in report.checks
    )
    heads = "<tr><th>claim</th><th>seen</th><th>wanted</th><th>holds</th></tr>"
    table = f'<table class="checks"><thead>{heads}</thead><tbody>{rows}</tbody></table>'
    return f'<h2>Checks</h2><div class="wide">{table}</div>'


def _section(section: Section) -> str:
    note = f"<p>{escape(section.note)}</p>" if section.note else ""
    table = _table(section.table) if section.table else ""
    plots = "".join(_figure(plot) for plot in section.plots)
    return f"<section><h2>{escape(section.heading)}</h2>{note}{table}{plots}</section>"


def _table(table: Table) -> str:
    heads = "".join(f"<th>{escape(column.heading)}</th>" for column in table.columns)
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{_rows(table.texts())}</tbody></table></div>'
    )


def _rows(texts: Sequence[Sequence[str]]) -> str:
    return "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in texts)


def _figure(plot: Plot) -> str:
    names = (
        f'<li><i class="s{place % svg.COLOURS}"></i>{escape(series.name)}</li>'
        for place, series in enumerate(plot.series)
    )
    y_label = f'<span class="y-label">{escape(plot.y.label)}</span>'
    legend = f'<ul class="legend">{"".join(names)}</ul>'
    return f"<h3>{escape(plot.title)}</h3><figure>{legend}{y_label}{svg.draw(plot)}</figure>"
