"""What a report says, and that it says the same as Markdown, as JSON and as a page that needs nothing from anywhere."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks import svg
from benchmarks.output import finish
from benchmarks.page import to_html
from benchmarks.plots import Axis, Mark, Plot, Scale, Series, latency_distribution, lines, timeline
from benchmarks.report import Column, Report, Section, Table, at_least, at_most, to_json, to_markdown
from benchmarks.statistics import Latencies

LATENCIES = Latencies(0.002 * n for n in range(1, 1001))
PLOTS = (
    latency_distribution("Latency <by share>", {"20 %": LATENCIES, "80 %": LATENCIES}, [Mark(10_000, "the wall")]),
    lines(
        "Throughput", "offered, pictures/s", Axis("answered, pictures/s"), {"seen": [(10, 10), (20, 19.5), (40, 20)]}
    ),
    timeline("Goodput", Axis("pictures/s"), {"ours": [(0, 20), (1, 0), (2, 20)]}, [Mark(1, "scorer killed & gone")]),
)
REPORT = Report(
    title="Latency & wall",
    command="python -m benchmarks.latency --seed 7",
    machine={"processor": "A <fast> one", "cores": "2"},
    seed=7,
    started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    sections=(
        Section(
            "By size | and load",
            "From the intended send.",
            Table((Column("load"), Column("p50 ms", 1), Column("pictures")), (("20 %", 12.345, 40), ("80 %", None, 0))),
            PLOTS,
        ),
    ),
    checks=(at_most("p99 is under the wall", 1234.5, 10_000, "ms"), at_least("goodput", 0.95, 0.9, "", 2)),
)

GOLDEN_MARKDOWN = """\
# Latency & wall

`python -m benchmarks.latency --seed 7`, 2026-01-02 03:04 UTC, seed 7

* processor: A <fast> one
* cores: 2

| check | seen | wanted | holds |
| --- | --- | --- | --- |
| p99 is under the wall | 1234 ms | ≤ 10000 ms | yes |
| goodput | 0.95 | ≥ 0.9 | yes |

## By size | and load

From the intended send.

| load | p50 ms | pictures |
| --- | --- | --- |
| 20 % | 12.3 | 40 |
| 80 % | - | 0 |
"""


class Page(HTMLParser):
    """The tags and the attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_markdown() -> None:
    assert to_markdown(REPORT) == GOLDEN_MARKDOWN


def test_json_has_numbers_as_numbers_and_the_plots() -> None:
    read = json.loads(to_json(REPORT))
    assert read["sections"][0]["table"]["rows"] == [["20 %", 12.345, 40], ["80 %", None, 0]]
    assert read["sections"][0]["plots"][1]["series"][0]["points"] == [[10, 10], [20, 19.5], [40, 20]]
    assert (read["seed"], read["machine"]["cores"], read["holds"]) == (7, "2", True)
    assert read["started_at"] == "2026-01-02T03:04:05+00:00"


def test_the_page_needs_nothing_from_anywhere() -> None:
    html = to_html(REPORT)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(page.tags)
    assert not {"src", "href", "xlink:href", "srcset", "data", "style"} & {name for name, _ in page.attributes}
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in html


def test_the_page_prints_what_the_figures_stand_on() -> None:
    html = to_html(REPORT)
    for told in (
        "Latency &amp; wall",
        "A &lt;fast&gt; one",
        "--seed 7",
        "2026-01-02 03:04:05 UTC",
        "<dt>seed</dt><dd>7</dd>",
    ):
        assert told in html
    assert "prefers-color-scheme: dark" in html
    assert html.count("<svg") == len(PLOTS)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.title)
def test_every_drawing_is_well_formed_and_inside_its_frame(plot: Plot) -> None:
    drawing = ElementTree.fromstring(svg.draw(plot))
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    assert len(drawing.findall("polyline")) == len(plot.series)
    for line in drawing.findall("polyline"):
        for x, y in (map(float, pair.split(",")) for pair in line.attrib["points"].split()):
            assert 0 <= x <= width
            assert 0 <= y <= height


@pytest.mark.parametrize("scale", list(Scale))
@pytest.mark.parametrize("values", [(), (0.0,), (0.5,), (0.001, 0.99999)])
def test_plots_of_few_or_extreme_values_are_drawn(scale: Scale, values: tuple[float, ...]) -> None:
    points = tuple((value, value) for value in values)
    drawn = svg.draw(Plot("t", Axis("x", scale), Axis("y", scale), (Series("s", points),)))
    assert not re.search(r"nan|inf", drawn)


def test_a_check_of_what_was_not_measured_does_not_hold() -> None:
    check = at_most("p99", None, 1, "s")
    assert (check.seen, check.holds) == ("not measured", False)
    assert not at_least("rate", 0.89, 0.9, "").holds


def test_a_failed_check_is_exit_code_one_and_three_files(tmp_path: Path) -> None:
    terminal = StringIO()
    failed = replace(REPORT, checks=(at_most("p99 [of all]", 2.0, 1, "s"),))
    assert finish(failed, "latency", tmp_path / "new", Console(file=terminal, width=100)) == 1
    assert finish(REPORT, "latency", tmp_path / "new", Console(file=terminal, width=100)) == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"latency-20260102-030405.{kind}" for kind in ("html", "json", "md")]
    assert "p99 [of all]" in terminal.getvalue()
    assert "latency-20260102-030405.html" in terminal.getvalue()
